import { describe, expect, it } from 'vitest';
import { FORCED, startEngine, TRAINING } from '../support/engines.js';
import { type Steps, trainSteps, wholeNetworkPlan } from '../support/parity.js';
import { trainSmallNet } from '../support/small-nets.js';

const SOAK_STEPS = 500;
/** Sessions, pools and the garbage collector have found their size by then. */
const WARM_UP_STEPS = 100;
const REPEAT_STEPS = 4;
const GROWTH_BYTES = 100 * 2 ** 20;

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
    expect(first.weights.length).toBeGreaterThan(0);
    for (const { losses, weights } of [second, third]) {
      expect(losses).toEqual(first.losses);
      // Compared as bytes: quicker than value by value.
      weights.forEach((values, index) =>
        expect(Buffer.from(values.buffer).equals(Buffer.from(first.weights[index]!.buffer))).toBe(true),
      );
    }
  });
});

function expectFlat(memory: Steps['memory']): void {
  expect(new Set(memory.map(({ tensors }) => tensors)).size).toBe(1);
  const growth = highest(memory.slice(-WARM_UP_STEPS)) - highest(memory.slice(0, WARM_UP_STEPS));
  expect(growth).toBeLessThan(GROWTH_BYTES);
}

function highest(memory: Steps['memory']): number {
  return Math.max(...memory.map(({ residentBytes }) => residentBytes));
}
