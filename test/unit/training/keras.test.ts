import { readFile } from 'node:fs/promises';
import { type EpochMetrics, JobRequest, type Plan, type Stage } from '@headstart/contracts';
import { resolvePlan } from '@headstart/training/plan';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import type { BestEpoch } from '../../../packages/training/src/checkpoint.js';
import { isBetter, monitored, ranOutOfPatience } from '../../../packages/training/src/early-stopping.js';
import { VGG19_LAYERS } from '../../../packages/training/src/models/vgg19/layers.js';
import { createOptimizer } from '../../../packages/training/src/optimizers/index.js';
import { learningRateAt } from '../../../packages/training/src/schedule.js';
import { startEngine } from '../../support/engines.js';
import { documentedDifference, readFixture, relativeDifference } from '../../support/keras.js';
import { OPTIMIZERS } from '../../support/parity.js';
import { planFor } from '../../support/training.js';

it('was recorded with the versions that docs/keras.md names', async () => {
  const { keras, tensorflow } = readFixture<Record<string, string>>('versions.json');
  const document = await readFile(new URL('../../../docs/keras.md', import.meta.url), 'utf8');
  expect(document).toContain(`Keras ${keras} on TensorFlow ${tensorflow} `);
});

describe("freezeLayers beside Keras's model.layers[:N]", () => {
  const recorded = readFixture<{ layers: string[]; parameters: number; trainable: number[] }>(
    'freezing.json',
  );
  const base = { datasetUri: 'file:///data/', model: { pooling: 'avg', head: [{ units: 256 }] } };
  // With every convolution frozen it is no longer fine-tuning.
  const scenarioOf = (n: number) => (n < 21 ? 'large-similar' : 'small-similar');

  it('counts the same layers', () => {
    // Keras 2 called its input input_1; Keras 3 says input_layer.
    expect(recorded.layers.slice(1)).toEqual(VGG19_LAYERS.slice(1).map(({ name }) => name));
    expect(recorded.trainable).toHaveLength(VGG19_LAYERS.length + 1);
  });

  it.each(Array.from({ length: 23 }, (_, n) => n))('leaves the same parameters to train: N = %i', (n) => {
    const request = JobRequest.parse({ ...base, scenario: scenarioOf(n), freezeLayers: n });
    const { parameters } = resolvePlan(request, { classes: ['a', 'b'] });
    const trained = recorded.trainable[n]!;
    expect(parameters).toEqual({
      total: recorded.parameters,
      trained,
      frozen: recorded.parameters - trained,
    });
  });
});

describe.each(['cpu', 'wasm', 'onnxruntime'] as const)('optimizers beside Keras on %s', (engine) => {
  const recorded =
    readFixture<Record<string, { gradients: number[][]; values: number[][] }>>('optimizers.json');

  it.each(Object.keys(OPTIMIZERS))('%s takes the same steps, from gradients of 1e-8 to 100', async (name) => {
    await startEngine({ label: engine, engine, settings: { minimumSize: 0 } });
    const { gradients, values } = recorded[name]!;
    const variable = tf.variable(tf.zeros([values[0]!.length]));
    const optimizer = createOptimizer(OPTIMIZERS[name]!.settings, [{ name: 'w/kernel', variable }]);
    let worst = 0;
    gradients.forEach((gradient, step) => {
      optimizer.apply({ [variable.name]: tf.tensor1d(gradient) }, 0.01);
      worst = Math.max(worst, relativeDifference([...variable.dataSync<'float32'>()], values[step]!));
    });
    optimizer.dispose();
    variable.dispose();
    expect(worst).toBeLessThanOrEqual(documentedDifference('Optimizers over 20 steps'));
  });
});

describe('schedules beside Keras', () => {
  const recorded = readFixture<Record<string, number[]>>('schedules.json');
  const STEPS_PER_EPOCH = 10;
  const rates = (schedule: Stage['schedule']) =>
    Array.from({ length: 60 }, (_, step) =>
      learningRateAt({ learningRate: 0.1, schedule, epochs: 6 } as Stage, step, STEPS_PER_EPOCH),
    );
  const expectSame = (own: number[], keras: number[]) => {
    // Of the full rate: a cosine in float32, as Keras has it, loses digits where it comes near zero.
    const differences = own.map((rate, i) => Math.abs(rate - keras[i]!) / 0.1);
    expect(Math.max(...differences)).toBeLessThanOrEqual(documentedDifference('Schedules over 60 steps'));
  };

  it.each<[string, Stage['schedule']]>([
    ['step', { type: 'step', everyEpochs: 2, factor: 0.5, warmupEpochs: 0 }],
    ['cosine', { type: 'cosine', warmupEpochs: 0 }],
  ])('%s gives the same rates', (name, schedule) => {
    expectSame(rates(schedule), recorded[name]!);
  });

  it("warms up one step ahead of Keras's CosineDecay, whose first step is wasted at a rate of 0", () => {
    const own = rates({ type: 'cosine', warmupEpochs: 2 });
    const keras = recorded['cosine with warm-up']!;
    expect(keras[0]).toBe(0);
    expectSame(own.slice(0, 19), keras.slice(1, 20));
    expectSame(own.slice(20), keras.slice(20));
  });
});

interface RecordedStop {
  monitor: 'valLoss' | 'valAccuracy';
  patience: number;
  minDelta: number;
  values: number[];
  epochs: number;
  bestEpoch: number;
}

describe('early stopping beside Keras', () => {
  const recorded = readFixture<RecordedStop[]>('early-stopping.json');

  it.each(recorded)(
    '$monitor, patience $patience, minDelta $minDelta: stops after $epochs, exports $bestEpoch',
    ({ monitor, patience, minDelta, values, epochs, bestEpoch }) => {
      const plan = planFor({
        scenario: 'small-different',
        training: { earlyStopping: { monitor, patience, minDelta } },
      });
      expect(stopOf(plan, values)).toEqual({ epochs, bestEpoch });
    },
  );

  it('was recorded with runs that stop early and runs that do not', () => {
    expect(recorded.some(({ epochs, values }) => epochs < values.length)).toBe(true);
    expect(recorded.some(({ epochs, values }) => epochs === values.length)).toBe(true);
  });
});

/** As the training loop asks after every epoch. */
function stopOf(plan: Plan, values: number[]): { epochs: number; bestEpoch: number } {
  let best: BestEpoch | null = null;
  let epochs = 0;
  while (epochs < values.length && !ranOutOfPatience(plan, epochs, best)) {
    const metrics = { valLoss: values[epochs], valAccuracy: values[epochs] } as EpochMetrics;
    epochs++;
    if (isBetter(plan, metrics, best))
      best = { epoch: epochs, value: monitored(plan, metrics), weights: null };
  }
  return { epochs, bestEpoch: best!.epoch };
}
