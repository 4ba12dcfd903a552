import {
  getKernelsForBackend,
  Identity,
  type KernelConfig,
  type KernelFunc,
  registerKernel,
  Reshape,
  type TensorInfo,
} from '@tensorflow/tfjs-core';
import type { OnnxBackend } from './backend.js';
import { KERNELS } from './kernels/index.js';
import type { KernelCall } from './kernels/kernel.js';

/** cpu kernels that hand on the tensor's data as a whole, counted by the backend. */
const KEEPING_DATA_WHOLE: readonly string[] = [Identity, Reshape];

/**
 * Registers every kernel of the cpu backend under `backendName`, with ours in front of those of the same name, and ours
 * that it does not have. The cpu backend's package must have been imported.
 */
export function registerKernels(backendName: string): void {
  // Kernels outlive the backends that run them.
  if (getKernelsForBackend(backendName).length > 0) return;
  const ours = new Map(KERNELS.map((kernel) => [kernel.name, kernel.run]));
  for (const config of getKernelsForBackend('cpu')) {
    const { kernelName } = config;
    const onCpu = KEEPING_DATA_WHOLE.includes(kernelName) ? config.kernelFunc : exposing(config);
    const run = ours.get(kernelName);
    ours.delete(kernelName);
    const kernelFunc: KernelFunc = run ? (call) => run(callOf(call)) ?? onCpu(call) : onCpu;
    registerKernel({ ...config, backendName, kernelFunc });
  }
  for (const [kernelName, run] of ours) {
    const kernelFunc: KernelFunc = (call) => run(callOf(call))!;
    registerKernel({ kernelName, backendName, kernelFunc });
  }
}

function callOf({ inputs, attrs, backend }: Parameters<KernelFunc>[0]): KernelCall {
  return { inputs, attrs: attrs ?? {}, backend: backend as OnnxBackend };
}

/** The cpu backend's kernels may keep a part of an input's array, so it must not go back to the pool. */
function exposing({ kernelFunc }: KernelConfig): KernelFunc {
  return ({ inputs, backend, attrs }) => {
    for (const input of Object.values(inputs as Record<string, TensorInfo | TensorInfo[] | undefined>)) {
      for (const tensor of [input ?? []].flat()) (backend as OnnxBackend).expose(tensor.dataId);
    }
    return kernelFunc({ inputs, backend, attrs: attrs });
  };
}
