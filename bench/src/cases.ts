import { layersUpTo, outputShapeOf } from '../../packages/training/dist/models/vgg19/layers.js';

/** What is measured. The network is VGG19 without its top, global average pooling and a Dense of 10; SGD with momentum. */
export interface Case {
  name: string;
  title: string;
  /**
   * gemm: one float32 product of two [size, size] matrices. features: the output of block5_pool. forward: the logits.
   * step: forward, gradients and update of what trains.
   */
  work: 'gemm' | 'features' | 'forward' | 'step';
  /** Pixels a side. */
  size: number;
  /** Pictures at a time. */
  batch: number;
  /** Blocks are counted from 1. Those before it are left out: the input is the features that they would put out. */
  firstBlock: number;
  /** Blocks before it are frozen; 6 where all are. */
  firstTrainedBlock: number;
  learningRate: number;
}

/** Small enough to train for as long as the benchmark takes, whatever the random weights. */
const defaults = { firstBlock: 1, firstTrainedBlock: 1, learningRate: 1e-6 };

/** The product whose speed stands for what the machine can do. */
export const GEMM: Case = { ...defaults, name: 'gemm', title: 'GEMM', work: 'gemm', size: 2048, batch: 1 };

export const CASES: readonly Case[] = [
  {
    ...defaults,
    name: 'features-1',
    title: 'Features to block5_pool, 224 px, batch 1',
    work: 'features',
    firstTrainedBlock: 6,
    size: 224,
    batch: 1,
  },
  {
    ...defaults,
    name: 'features-4',
    title: 'Features to block5_pool, 224 px, batch 4',
    work: 'features',
    firstTrainedBlock: 6,
    size: 224,
    batch: 4,
  },
  {
    ...defaults,
    name: 'forward-224',
    title: 'Forward with head, 224 px, batch 4',
    work: 'forward',
    size: 224,
    batch: 4,
  },
  {
    ...defaults,
    name: 'step-224',
    title: 'Full training step, 224 px, batch 4',
    work: 'step',
    size: 224,
    batch: 4,
  },
  {
    ...defaults,
    name: 'step-32',
    title: 'Full training step, 32 px, batch 32',
    work: 'step',
    size: 32,
    batch: 32,
  },
  {
    ...defaults,
    name: 'block5-pictures',
    title: 'Step of block5 alone, from pictures, 224 px, batch 4',
    work: 'step',
    size: 224,
    batch: 4,
    firstTrainedBlock: 5,
  },
  {
    ...defaults,
    name: 'block5-features',
    title: 'Step of block5 alone, from cached features, 224 px, batch 32',
    work: 'step',
    size: 224,
    batch: 32,
    firstBlock: 5,
    firstTrainedBlock: 5,
  },
];

/** The same product, large enough to fill a GPU. */
export const GPU_GEMM: Case = { ...GEMM, size: 4096 };

/** With batches that fill a GPU. */
export const GPU_CASES: readonly Case[] = [
  {
    ...defaults,
    name: 'features-64',
    title: 'Features to block5_pool, 224 px, batch 64',
    work: 'features',
    firstTrainedBlock: 6,
    size: 224,
    batch: 64,
  },
  {
    ...defaults,
    name: 'step-224-32',
    title: 'Full training step, 224 px, batch 32',
    work: 'step',
    size: 224,
    batch: 32,
  },
];

/** Index of a block's first layer among those of the plan, the InputLayer first. */
export function firstLayerOf(block: number): number {
  return block === 1 ? 1 : layersUpTo(`block${block - 1}_pool`).length;
}

/**
 * Arithmetic of one run in 10^9 floating point operations, a multiplication and an addition counted as two: convolutions
 * alone, the rest is less than a hundredth.
 */
export function gigaflopOf({ work, size, batch, firstBlock, firstTrainedBlock }: Case): number {
  if (work === 'gemm') return (2 * size ** 3) / 1e9;
  let shape: [number, number, number] = [size, size, 3];
  let sum = 0;
  for (const [index, layer] of layersUpTo('block5_pool').entries()) {
    const channelsIn = shape[2];
    shape = outputShapeOf(layer, shape);
    if (layer.type !== 'Conv2D' || index < firstLayerOf(firstBlock)) continue;
    const forward = 2 * 9 * channelsIn * shape[0] * shape[1] * shape[2];
    const first = firstLayerOf(firstTrainedBlock);
    const isTrained = work === 'step' && index >= first;
    // The gradient of the kernel costs as much as the way forward; so does that of the input, which the first needs not.
    sum += forward * (isTrained ? (index === first ? 2 : 3) : 1);
  }
  return (sum * batch) / 1e9;
}
