import { execFileSync } from 'node:child_process';

/** A CUDA device, in words. */
export interface Gpu {
  /** Name, memory and compute capability. */
  device: string;
  /** Version of the driver; absent where it cannot be asked. */
  driver?: string;
}

const QUERY = ['--query-gpu=name,memory.total,compute_cap,driver_version', '--format=csv,noheader,nounits'];
const TIMEOUT_MS = 20_000;

/** Asks the driver's own tool: tfjs-node does not say what it runs on. @param id as in CUDA_VISIBLE_DEVICES. */
export function describeGpu(id: string): Gpu {
  try {
    return parseGpu(
      execFileSync('nvidia-smi', [...QUERY, `--id=${id}`], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
        timeout: TIMEOUT_MS,
      }),
    );
  } catch {
    return { device: `CUDA device ${id}, which nvidia-smi does not describe` };
  }
}

/** @param line "NVIDIA H200, 143771, 9.0, 570.86.15", the memory in MiB. */
export function parseGpu(line: string): Gpu {
  const [name, memoryMebibytes, capability, driver] = line.trim().split(', ');
  if (driver === undefined) throw new Error(`nvidia-smi answered "${line}".`);
  const gibibytes = Math.round(Number(memoryMebibytes) / 1024);
  return { device: `${name} (${gibibytes} GiB, compute capability ${capability})`, driver };
}
