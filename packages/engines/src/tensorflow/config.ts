/** What a deployment or a test may say of how TensorFlow runs. */
export interface NativeSettings {
  threads: number;
  /** Where CUDA keeps the kernels that it compiles; undefined leaves that to CUDA. */
  kernelCacheDir: string | undefined;
}

/** Kernels compiled for a GPU that the library has none for fill CUDA's own limit, and would be compiled again each time. */
const KERNEL_CACHE_BYTES = 4 * 1024 ** 3;

/**
 * Sets the environment that TensorFlow's and CUDA's libraries read while they are loaded: neither has another way to be
 * told through tfjs-node. What the deployment has set itself is kept.
 * @returns the one GPU that CUDA is to see, as CUDA_VISIBLE_DEVICES names it; empty or "-1" for none.
 */
export function setNativeEnvironment({ threads, kernelCacheDir }: NativeSettings): string {
  const defaults: Record<string, string> = {
    TF_NUM_INTRAOP_THREADS: String(threads),
    // Its notes on the CPU's instructions, at every start, would be all that a crashed trainer's last lines say.
    TF_CPP_MIN_LOG_LEVEL: '1',
    // Memory as it is needed, instead of all that the device has: another process may use it too.
    TF_FORCE_GPU_ALLOW_GROWTH: 'true',
    // The same bits each time: an attempt that goes on from a checkpoint comes to the weights that the first would have had.
    TF_DETERMINISTIC_OPS: '1',
    // As nvidia-smi counts.
    CUDA_DEVICE_ORDER: 'PCI_BUS_ID',
    ...(kernelCacheDir !== undefined && {
      CUDA_CACHE_PATH: kernelCacheDir,
      CUDA_CACHE_MAXSIZE: String(KERNEL_CACHE_BYTES),
    }),
  };
  for (const [name, value] of Object.entries(defaults)) process.env[name] ??= value;
  // tfjs-node computes on the last GPU that it sees, and TensorFlow takes memory on all of them.
  const gpu = (process.env['CUDA_VISIBLE_DEVICES'] ?? '0').split(',')[0]!.trim();
  process.env['CUDA_VISIBLE_DEVICES'] = gpu;
  return gpu;
}
