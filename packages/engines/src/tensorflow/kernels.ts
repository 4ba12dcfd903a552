import { getKernel, Identity, registerKernel, Round, unregisterKernel } from '@tensorflow/tfjs-core';

const BACKEND = 'tensorflow';
let isAdapted = false;

/**
 * The one place for what a TensorFlow version answers otherwise than tfjs-node 4.22 expects. From 2.12 to 2.21 no op has changed its
 * attributes; there is this alone: since 2.17 `Round` of int32 gives zeros, and whole numbers need no rounding.
 */
export function adaptKernels(): void {
  if (isAdapted) return;
  isAdapted = true;
  const round = getKernel(Round, BACKEND);
  const identity = getKernel(Identity, BACKEND);
  unregisterKernel(Round, BACKEND);
  registerKernel({
    ...round,
    kernelFunc: (call) =>
      (call.inputs['x']?.dtype === 'int32' ? identity : round).kernelFunc({ ...call, attrs: {} }),
  });
}
