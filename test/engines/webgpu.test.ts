import { readFile } from 'node:fs/promises';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { CPU, startEngine } from '../support/engines.js';
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
import { WEBGPU, webgpuFailure } from '../support/webgpu.js';

const SOAK_STEPS = 500;
const REPEAT_STEPS = 4;

const recorded = JSON.parse(await readFile(LOSSES_FIXTURE, 'utf8')) as Record<string, number[]>;

describe.skipIf(webgpuFailure !== null)('webgpu', () => {
  it.each(Object.keys(OPTIMIZERS))('trains VGG19 as the cpu backend does, with %s', async (optimizer) => {
    await startEngine(WEBGPU);
    expect(tf.getBackend()).toBe('webgpu');
    const { losses } = await trainSteps(wholeNetworkPlan(), optimizer, PARITY_STEPS);
    expectSameLosses(losses, recorded[optimizer]!);
  });

  describe.each(Object.keys(SMALL_NETS))('trains a net of %s as the cpu backend does', (net) => {
    it.each(Object.keys(OPTIMIZERS))('with %s', async (optimizer) => {
      await startEngine(CPU);
      const expected = await trainSmallNet(net, optimizer, PARITY_STEPS);
      await startEngine(WEBGPU);
      expectSameLosses((await trainSmallNet(net, optimizer, PARITY_STEPS)).losses, expected.losses);
    });
  });

  it('gives the same bits twice', async () => {
    await startEngine(WEBGPU);
    const first = await trainSteps(wholeNetworkPlan(), 'adam', REPEAT_STEPS);
    expectSameBits(await trainSteps(wholeNetworkPlan(), 'adam', REPEAT_STEPS), first);
  });

  it(`trains a small net for ${SOAK_STEPS} steps without growing`, async () => {
    await startEngine(WEBGPU);
    expectFlat((await trainSmallNet('pools and odd sides', 'adam', SOAK_STEPS)).memory);
  }, 600_000);
});
