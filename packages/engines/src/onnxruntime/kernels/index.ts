import { conv2DBackpropFilter } from './conv2d-backprop-filter.js';
import { conv2DBackpropInput } from './conv2d-backprop-input.js';
import { conv2D, fusedConv2D } from './conv2d.js';
import { elementwise } from './elementwise.js';
import type { OnnxKernel } from './kernel.js';
import { batchMatMul, fusedMatMul } from './mat-mul.js';
import { maxPool, maxPoolGrad } from './max-pool.js';
import { optimizerUpdates } from './optimizer-updates.js';
import { mean, sum } from './sum.js';

/** Every kernel of the engine's own; the others are the cpu backend's. */
export const KERNELS: readonly OnnxKernel[] = [
  conv2D,
  fusedConv2D,
  conv2DBackpropInput,
  conv2DBackpropFilter,
  maxPool,
  maxPoolGrad,
  batchMatMul,
  fusedMatMul,
  sum,
  mean,
  ...elementwise,
  ...optimizerUpdates,
];
