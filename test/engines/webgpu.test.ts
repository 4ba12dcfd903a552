import { readFile } from 'node:fs/promises';
import { describe, it } from 'vitest';
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

const SOAK_STEPS = 250;
const REPEAT_STEPS = 4;
/** Few: lavapipe takes seconds for each. */
const VGG_STEPS = 3;

const recorded = JSON.parse(await readFile(LOSSES_FIXTURE, 'utf8')) as Record<string, number[]>;

describe.skipIf(webgpuFailure !== null)('webgpu', () => {
  describe.each(Object.keys(SMALL_NETS))('trains a net of %s as the cpu backend does', (net) => {
    it.each(Object.keys(OPTIMIZERS))('with %s', async (optimizer) => {
      await startEngine(CPU);
      const expected = await trainSmallNet(net, optimizer, PARITY_STEPS);
      await startEngine(WEBGPU);
      expectSameLosses((await trainSmallNet(net, optimizer, PARITY_STEPS)).losses, expected.losses);
    });
  });

  it('trains VGG19 as the cpu backend does', async () => {
    await startEngine(WEBGPU);
    const { losses } = await trainSteps(wholeNetworkPlan(), 'momentum', VGG_STEPS);
    expectSameLosses(losses, recorded['momentum']!.slice(0, VGG_STEPS));
  });

  it('gives the same bits twice', async () => {
    await startEngine(WEBGPU);
    const first = await trainSmallNet('pools and odd sides', 'adam', REPEAT_STEPS);
    expectSameBits(await trainSmallNet('pools and odd sides', 'adam', REPEAT_STEPS), first);
  });

  it(`trains a small net for ${SOAK_STEPS} steps without growing`, async () => {
    await startEngine(WEBGPU);
    expectFlat((await trainSmallNet('pools and odd sides', 'adam', SOAK_STEPS)).memory);
  }, 600_000);
});
