import { readFile } from 'node:fs/promises';
import type * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { filterGradient } from '../support/cpu-filter-gradient.js';
import { CPU, FORCED, startEngine, TRAINING } from '../support/engines.js';
import { expectClose, on, runKernel, tensorOf } from '../support/kernels.js';
import {
  expectSameLosses,
  LOSSES_FIXTURE,
  OPTIMIZERS,
  PARITY_STEPS,
  trainSteps,
  wholeNetworkPlan,
} from '../support/parity.js';
import { SMALL_NETS, trainSmallNet } from '../support/small-nets.js';

const recorded = JSON.parse(await readFile(LOSSES_FIXTURE, 'utf8')) as Record<string, number[]>;

it("has recorded losses of every optimizer, from a filter gradient that is the cpu backend's", async () => {
  expect(Object.keys(recorded).sort()).toEqual(Object.keys(OPTIMIZERS).sort());
  await startEngine(CPU);
  const x = { shape: [2, 9, 8, 16], filling: 'uniform' as const, seed: 1 };
  const dy = { shape: [2, 9, 8, 20], filling: 'uniform' as const, seed: 2 };
  const tensors = () => ({ x: tensorOf(x) as tf.Tensor4D, dy: tensorOf(dy) as tf.Tensor4D });
  const attributes = { strides: 1, pad: 'same', dataFormat: 'NHWC', filterShape: [3, 3, 16, 20] };
  const [expected] = await on('cpu', () => runKernel('Conv2DBackpropFilter', tensors(), attributes));
  const [actual] = await on('cpu', () => filterGradient(tensors().x, tensors().dy));
  expectClose(actual!, expected!);
});

describe.each(TRAINING)('$label', (configuration) => {
  it.each(Object.keys(OPTIMIZERS))('trains VGG19 as the cpu backend does, with %s', async (optimizer) => {
    await startEngine(configuration);
    const { losses } = await trainSteps(wholeNetworkPlan(), optimizer, PARITY_STEPS);
    expectSameLosses(losses, recorded[optimizer]!);
  });
});

describe.each(FORCED)('$label', (configuration) => {
  describe.each(Object.keys(SMALL_NETS))('trains a net of %s as the cpu backend does', (net) => {
    it.each(Object.keys(OPTIMIZERS))('with %s', async (optimizer) => {
      const expected = await cpuLosses(net, optimizer);
      await startEngine(configuration);
      const { losses } = await trainSmallNet(net, optimizer, PARITY_STEPS);
      expectSameLosses(losses, expected);
    });
  });
});

/** Computed once for all configurations: the cpu backend is slow. */
const cpuLossesByCase = new Map<string, number[]>();

async function cpuLosses(net: string, optimizer: string): Promise<number[]> {
  const key = `${net} ${optimizer}`;
  if (!cpuLossesByCase.has(key)) {
    await startEngine(CPU);
    cpuLossesByCase.set(key, (await trainSmallNet(net, optimizer, PARITY_STEPS)).losses);
  }
  return cpuLossesByCase.get(key)!;
}
