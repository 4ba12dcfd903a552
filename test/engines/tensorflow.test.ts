import { readFile } from 'node:fs/promises';
import { isOutOfMemory } from '@headstart/engines';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { CPU, startEngine, TENSORFLOW, tensorflowIsMissing, TRAINING } from '../support/engines.js';
import {
  expectFlat,
  expectSameBits,
  expectSameLosses,
  LOSSES_FIXTURE,
  OPTIMIZERS,
  PARITY_STEPS,
  trainSteps,
  wholeNetworkPlan,
} from '../support/parity.js';
import { SMALL_NETS, trainSmallNet } from '../support/small-nets.js';

const SOAK_STEPS = 500;
const REPEAT_STEPS = 4;

const recorded = JSON.parse(await readFile(LOSSES_FIXTURE, 'utf8')) as Record<string, number[]>;

/** Two engines in one process, with memory measured: apart from the tests of the one that needs nothing installed. */
describe.skipIf(tensorflowIsMissing())('tensorflow', () => {
  it.each(Object.keys(OPTIMIZERS))(
    'trains VGG19 as onnxruntime and the cpu backend do, with %s',
    async (optimizer) => {
      await startEngine(TRAINING[0]!);
      const expected = await trainSteps(wholeNetworkPlan(), optimizer, PARITY_STEPS);
      await startEngine(TENSORFLOW);
      expect(tf.getBackend()).toBe('tensorflow');
      const { losses } = await trainSteps(wholeNetworkPlan(), optimizer, PARITY_STEPS);
      expectSameLosses(losses, expected.losses);
      expectSameLosses(losses, recorded[optimizer]!);
    },
  );

  it.each(Object.keys(SMALL_NETS))('trains a net of %s as the cpu backend does', async (net) => {
    await startEngine(CPU);
    const expected = await trainSmallNet(net, 'adam', PARITY_STEPS);
    await startEngine(TENSORFLOW);
    expectSameLosses((await trainSmallNet(net, 'adam', PARITY_STEPS)).losses, expected.losses);
  });

  it('gives the same bits twice', async () => {
    await startEngine(TENSORFLOW);
    const first = await trainSteps(wholeNetworkPlan(), 'adam', REPEAT_STEPS);
    expectSameBits(await trainSteps(wholeNetworkPlan(), 'adam', REPEAT_STEPS), first);
  });

  it('says that memory ran out in a way that is understood', async () => {
    await startEngine(TENSORFLOW);
    let error: unknown;
    try {
      tf.tidy(() => tf.fill([2 ** 20, 2 ** 20], 1).dataSync()); // 4 TiB
    } catch (failure) {
      error = failure;
    }
    expect(isOutOfMemory(error)).toBe(true);
  });

  it(`trains VGG19 for ${SOAK_STEPS} steps without growing`, async () => {
    await startEngine(TENSORFLOW);
    expectFlat((await trainSteps(wholeNetworkPlan(), 'momentum', SOAK_STEPS)).memory);
  }, 600_000);
});
