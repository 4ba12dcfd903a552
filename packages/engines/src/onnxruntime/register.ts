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

/** cpu kernels that hand on the tensor's data as a whole, counted by the backend. */
const KEEPING_DATA_WHOLE: readonly string[] = [Identity, Reshape];

/**
 * Registers every kernel of the cpu backend under `backendName`, with ours in front of those of the same name.
 * The cpu backend's package must have been imported.
 */
export function registerKernels(backendName: string): void {
  const ours = new Map(KERNELS.map((kernel) => [kernel.name, kernel.run]));
  for (const config of getKernelsForBackend('cpu')) {
    const { kernelName } = config;
    const onCpu = KEEPING_DATA_WHOLE.includes(kernelName) ? config.kernelFunc : exposing(config);
    const run = ours.get(kernelName);
    ours.delete(kernelName);
    const kernelFunc: KernelFunc = run
      ? ({ inputs, attrs, backend }) =>
          run({ inputs, attrs: attrs ?? {}, backend: backend as OnnxBackend }) ??
          onCpu({ inputs, backend, ...(attrs && { attrs }) })
      : onCpu;
    registerKernel({ ...config, backendName, kernelFunc });
  }
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
