import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import {
  getKernel,
  type NamedAttrMap,
  type NamedTensorInfoMap,
  registerKernel,
  type TensorInfo,
  unregisterKernel,
} from '@tensorflow/tfjs-core';
import { conv2dBackpropFilter } from './conv2d-backprop-filter.js';
import { conv2dBackpropInput } from './conv2d-backprop-input.js';
import type { Kernel, KernelCall } from './kernel.js';
import { maxPoolGrad } from './max-pool-grad.js';
import { repairs } from './repairs.js';

const KERNELS: readonly Kernel[] = [conv2dBackpropFilter, conv2dBackpropInput, maxPoolGrad, ...repairs];
let areRegistered = false;

/** Puts our kernels before those of tfjs's backend "webgpu", whose package must have been imported. */
export function registerKernels(): void {
  if (areRegistered) return;
  areRegistered = true;
  for (const { name, run } of KERNELS) {
    const config = getKernel(name, 'webgpu');
    // Each of these has one output.
    const original = ({ inputs, attributes, backend }: KernelCall): TensorInfo => {
      const call = { inputs: inputs as NamedTensorInfoMap, attrs: attributes as NamedAttrMap, backend };
      return [config.kernelFunc(call)].flat()[0]!;
    };
    unregisterKernel(name, 'webgpu');
    registerKernel({
      ...config,
      kernelFunc: ({ inputs, attrs, backend }) =>
        run({ inputs, attributes: attrs ?? {}, backend: backend as WebGPUBackend }, original),
    });
  }
}
