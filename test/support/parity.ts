import type { Optimizer as OptimizerSettings, Plan } from '@headstart/contracts';
import { buildNetwork } from '@headstart/training';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'vitest';
import { createOptimizer } from '../../packages/training/src/optimizers/index.js';
import { generatorFor } from '../../packages/training/src/random.js';
import { type StepContext, trainStep } from '../../packages/training/src/train-step.js';
import { planFor, randomBase } from './training.js';

/** An optimizer and its learning rates for VGG19 from random weights, and for the small nets. */
interface OptimizerCase {
  settings: OptimizerSettings;
  vggRate: number;
  smallRate: number;
}

/**
 * VGG19's rates are low, as in fine-tuning. With ten times as much a change of the pictures by 4e-7 alone moves the
 * losses of 20 steps by up to 4e-3: a few values near zero pass a rectifier or not, and the rest follows from that.
 */
export const OPTIMIZERS: Record<string, OptimizerCase> = {
  sgd: { settings: { type: 'sgd', momentum: 0, nesterov: false }, vggRate: 1e-3, smallRate: 0.01 },
  momentum: { settings: { type: 'sgd', momentum: 0.9, nesterov: false }, vggRate: 1e-4, smallRate: 0.005 },
  nesterov: { settings: { type: 'sgd', momentum: 0.9, nesterov: true }, vggRate: 1e-4, smallRate: 0.005 },
  adam: { settings: { type: 'adam' }, vggRate: 5e-7, smallRate: 1e-4 },
  rmsprop: { settings: { type: 'rmsprop' }, vggRate: 5e-7, smallRate: 1e-4 },
};

/**
 * The cpu backend's losses of `wholeNetworkPlan` by optimizer: many minutes of work, so they are kept. `npm run parity:fix`
 * computes them anew after a change to what is trained.
 */
export const LOSSES_FIXTURE = new URL('../engines/fixtures/vgg19-losses.json', import.meta.url);

export const PARITY_STEPS = 20;
const BATCH_SIZE = 2;
const RELATIVE_TOLERANCE = 1e-4;
/** Sessions, pools and the garbage collector have found their size by then. */
const WARM_UP_STEPS = 100;
const GROWTH_BYTES = 100 * 2 ** 20;

/** VGG19 at 32 pixels, every layer of it trained from random weights, below a head with dropout and L2. */
export function wholeNetworkPlan(): Plan {
  return planFor({
    scenario: 'large-different',
    model: { head: [{ units: 32, dropout: 0.25, l2: 0.001 }], pooling: 'avg' },
  });
}

export interface Steps {
  losses: number[];
  /** After each step; the tensors that live on and the process's memory. */
  memory: { tensors: number; residentBytes: number }[];
  /** Every weight behind the last step, in the order of the network. */
  weights: Float32Array[];
}

/**
 * Trains every layer of a plan for some steps on pictures drawn from the plan's seed, the same four batches in turns, on
 * tfjs's current backend.
 */
export async function trainSteps(plan: Plan, optimizerName: string, steps: number): Promise<Steps> {
  const { settings, vggRate } = OPTIMIZERS[optimizerName]!;
  const network = buildNetwork(plan, await randomBase(plan));
  const trainedLayers = plan.layers.filter(({ parameters }) => parameters !== 0).map(({ name }) => name);
  const variables = network.variablesOf(trainedLayers);
  const optimizer = createOptimizer(settings, variables);
  const stage = { ...plan.stages[0]!, trainedLayers, cachedLayers: 0 };
  const context: StepContext = { plan, stage, network, variables, optimizer, classWeights: [1, 1] };
  const result: Steps = { losses: [], memory: [], weights: [] };
  for (let step = 0; step < steps; step++) {
    const xs = batchOf(plan, step % 4);
    const labels = [step % 2, 1];
    const seedOf = (layer: string) => `parity/${step}/${layer}`;
    result.losses.push((await trainStep(context, xs, labels, vggRate, seedOf)).loss);
    xs.dispose();
    result.memory.push({ tensors: tf.memory().numTensors, residentBytes: process.memoryUsage.rss() });
  }
  for (const { variable } of variables) result.weights.push(Float32Array.from(await variable.data()));
  optimizer.dispose();
  network.dispose();
  return result;
}

/** xs [2, S, S, 3] float32, the values of pictures with the means subtracted. */
function batchOf({ inputSize }: Plan, index: number): tf.Tensor4D {
  const random = generatorFor(index, 'parity');
  const values = Float32Array.from(
    { length: BATCH_SIZE * inputSize ** 2 * 3 },
    () => ((random.next() >>> 0) / 2 ** 32) * 255 - 120,
  );
  return tf.tensor4d(values, [BATCH_SIZE, inputSize, inputSize, 3]);
}

/** Fails where the losses of two engines, step by step, differ by more than a ten-thousandth. */
export function expectSameLosses(actual: number[], expected: number[]): void {
  expect(actual.length).toBe(expected.length);
  const errors = actual.map((loss, step) => Math.abs(loss / expected[step]! - 1));
  expect(Math.max(...errors), `${actual.join(' ')}\ninstead of\n${expected.join(' ')}`).toBeLessThan(
    RELATIVE_TOLERANCE,
  );
}

/** Fails where tensors are left behind, or the process has grown from the first hundred steps to the last. */
export function expectFlat(memory: Steps['memory']): void {
  expect(new Set(memory.map(({ tensors }) => tensors)).size).toBe(1);
  const growth = highest(memory.slice(-WARM_UP_STEPS)) - highest(memory.slice(0, WARM_UP_STEPS));
  expect(growth).toBeLessThan(GROWTH_BYTES);
}

function highest(memory: Steps['memory']): number {
  return Math.max(...memory.map(({ residentBytes }) => residentBytes));
}

/** Fails unless two runs came to the same losses and weights, to the last bit. */
export function expectSameBits(actual: Steps, expected: Steps): void {
  expect(expected.weights.length).toBeGreaterThan(0);
  expect(actual.losses).toEqual(expected.losses);
  // Compared as bytes: quicker than value by value.
  actual.weights.forEach((values, index) =>
    expect(Buffer.from(values.buffer).equals(Buffer.from(expected.weights[index]!.buffer))).toBe(true),
  );
}
