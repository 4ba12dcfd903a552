import { describe, it } from 'vitest';
import { FORCED, startEngine, TRAINING } from '../support/engines.js';
import { expectFlat, expectSameBits, trainSteps, wholeNetworkPlan } from '../support/parity.js';
import { trainSmallNet } from '../support/small-nets.js';

const SOAK_STEPS = 500;
const REPEAT_STEPS = 4;

describe('onnxruntime', () => {
  it(`trains VGG19 for ${SOAK_STEPS} steps without growing`, async () => {
    await startEngine(TRAINING[0]!);
    expectFlat((await trainSteps(wholeNetworkPlan(), 'momentum', SOAK_STEPS)).memory);
  }, 600_000);

  it.each(FORCED)(
    `$label trains a small net for ${SOAK_STEPS} steps without growing`,
    async (configuration) => {
      await startEngine(configuration);
      expectFlat((await trainSmallNet('pools and odd sides', 'adam', SOAK_STEPS)).memory);
    },
  );
});

describe.each(TRAINING)('$label', (configuration) => {
  it('gives the same bits twice', async () => {
    const plan = wholeNetworkPlan();
    await startEngine(configuration);
    const first = await trainSteps(plan, 'adam', REPEAT_STEPS);
    const second = await trainSteps(plan, 'adam', REPEAT_STEPS);
    // Anew, and on one thread: no sum's order may depend on how many there are.
    await startEngine({ ...configuration, settings: { ...configuration.settings, threads: 1 } });
    const third = await trainSteps(plan, 'adam', REPEAT_STEPS);
    expectSameBits(second, first);
    expectSameBits(third, first);
  });
});
