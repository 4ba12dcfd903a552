import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { it } from 'vitest';
import { useFastFilterGradientOnCpu } from '../support/cpu-filter-gradient.js';
import { CPU, startEngine } from '../support/engines.js';
import { LOSSES_FIXTURE, OPTIMIZERS, PARITY_STEPS, trainSteps, wholeNetworkPlan } from '../support/parity.js';

/** Not a test but a twin of one: `npm run parity:fix` writes what training.test.ts compares with. */
it.each(Object.keys(OPTIMIZERS))(
  'records the losses of VGG19 on the cpu backend with %s',
  async (optimizer) => {
    await startEngine(CPU);
    useFastFilterGradientOnCpu();
    const { losses } = await trainSteps(wholeNetworkPlan(), optimizer, PARITY_STEPS);
    const recorded = existsSync(LOSSES_FIXTURE)
      ? (JSON.parse(await readFile(LOSSES_FIXTURE, 'utf8')) as Record<string, number[]>)
      : {};
    recorded[optimizer] = losses;
    await writeFile(LOSSES_FIXTURE, `${JSON.stringify(recorded, null, 2)}\n`);
  },
  3_600_000,
);
