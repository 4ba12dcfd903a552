import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import type { TensorInfo } from '@tensorflow/tfjs-core';

export interface KernelCall {
  inputs: Record<string, TensorInfo | undefined>;
  attributes: Record<string, unknown>;
  backend: WebGPUBackend;
}

/** A kernel that takes the place of tfjs's own of the same name. */
export interface Kernel {
  name: string;
  /** @param original tfjs's kernel, for what this one does not do itself. */
  run(call: KernelCall, original: (call: KernelCall) => TensorInfo): TensorInfo;
}
