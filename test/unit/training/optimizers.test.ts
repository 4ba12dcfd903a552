import type { Stage } from '@headstart/contracts';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { createOptimizer } from '../../../packages/training/src/optimizers/index.js';
import { learningRateAt } from '../../../packages/training/src/schedule.js';

type Settings = Stage['optimizer'];

/** Steps of one scalar weight, written out from the formulas of Keras's documentation in float64. */
const REFERENCES: Record<string, [Settings, (gradients: number[], rate: number) => number]> = {
  'plain sgd': [
    { type: 'sgd', momentum: 0, nesterov: false },
    (gradients, rate) => gradients.reduce((w, g) => w - rate * g, 1),
  ],
  'sgd with momentum': [
    { type: 'sgd', momentum: 0.9, nesterov: false },
    (gradients, rate) => {
      let [w, velocity] = [1, 0];
      for (const g of gradients) {
        velocity = 0.9 * velocity - rate * g;
        w += velocity;
      }
      return w;
    },
  ],
  'sgd with Nesterov momentum': [
    { type: 'sgd', momentum: 0.9, nesterov: true },
    (gradients, rate) => {
      let [w, velocity] = [1, 0];
      for (const g of gradients) {
        velocity = 0.9 * velocity - rate * g;
        w += 0.9 * velocity - rate * g;
      }
      return w;
    },
  ],
  adam: [
    { type: 'adam' },
    (gradients, rate) => {
      let [w, m, v] = [1, 0, 0];
      gradients.forEach((g, i) => {
        m = 0.9 * m + 0.1 * g;
        v = 0.999 * v + 0.001 * g * g;
        w -= (rate * (Math.sqrt(1 - 0.999 ** (i + 1)) / (1 - 0.9 ** (i + 1))) * m) / (Math.sqrt(v) + 1e-7);
      });
      return w;
    },
  ],
  rmsprop: [
    { type: 'rmsprop' },
    (gradients, rate) => {
      let [w, v] = [1, 0];
      for (const g of gradients) {
        v = 0.9 * v + 0.1 * g * g;
        w -= (rate * g) / Math.sqrt(v + 1e-7);
      }
      return w;
    },
  ],
};

const GRADIENTS = [0.5, -0.25, 0.125, 1, -2, 0.01, 0.3, 0.3];

describe('optimizers', () => {
  it.each(Object.keys(REFERENCES))('%s follows the formula', (name) => {
    const [settings, reference] = REFERENCES[name]!;
    const variable = tf.variable(tf.tensor1d([1]));
    const optimizer = createOptimizer(settings, [{ name: 'w/kernel', variable }]);
    for (const g of GRADIENTS) optimizer.apply({ [variable.name]: tf.tensor1d([g]) }, 0.01);
    expect(variable.dataSync()[0]).toBeCloseTo(reference(GRADIENTS, 0.01), 5);
    optimizer.dispose();
    variable.dispose();
  });

  it.each(Object.keys(REFERENCES))('%s goes on from its state bit by bit', async (name) => {
    const [settings] = REFERENCES[name]!;
    const run = async (stopAfter: number | null) => {
      const variable = tf.variable(tf.tensor1d([1, 2, 3]));
      let optimizer = createOptimizer(settings, [{ name: 'w/kernel', variable }]);
      for (const [index, g] of GRADIENTS.entries()) {
        if (index === stopAfter) {
          const { step, slots } = await optimizer.state();
          const copy = new Map(
            [...slots].map(([slot, { shape, values }]) => [slot, { shape, values: values.slice() }]),
          );
          optimizer.dispose();
          optimizer = createOptimizer(settings, [{ name: 'w/kernel', variable }]);
          optimizer.restore(step, copy);
        }
        optimizer.apply({ [variable.name]: tf.tensor1d([g, g / 3, -g]) }, 0.01);
      }
      return variable.dataSync();
    };
    expect(await run(5)).toEqual(await run(null));
  });

  it('leaks nothing', () => {
    const variable = tf.variable(tf.tensor1d([1]));
    const optimizer = createOptimizer({ type: 'adam' }, [{ name: 'w/kernel', variable }]);
    const before = tf.memory().numTensors;
    for (const g of GRADIENTS) optimizer.apply({ [variable.name]: tf.tensor1d([g]) }, 0.01);
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('learningRateAt', () => {
  const stage = (schedule: Stage['schedule'], epochs = 10) =>
    ({ learningRate: 0.1, schedule, epochs }) as Stage;
  const rates = (s: Stage, steps: number[]) => steps.map((step) => learningRateAt(s, step, 4));

  it('stays', () => {
    expect(rates(stage({ type: 'constant', warmupEpochs: 0 }), [0, 39])).toEqual([0.1, 0.1]);
  });

  it('rises linearly to the rate at the last step of the warm-up', () => {
    expect(rates(stage({ type: 'constant', warmupEpochs: 2 }), [0, 3, 7, 8])).toEqual([
      0.0125, 0.05, 0.1, 0.1,
    ]);
  });

  it('drops by the factor', () => {
    const schedule = { type: 'step', warmupEpochs: 0, everyEpochs: 3, factor: 0.5 } as const;
    expect(rates(stage(schedule), [0, 11, 12, 24])).toEqual([0.1, 0.1, 0.05, 0.025]);
  });

  it('falls along a cosine from the rate towards zero', () => {
    const [first, middle, last] = rates(stage({ type: 'cosine', warmupEpochs: 0 }), [0, 20, 39]);
    expect(first).toBe(0.1);
    expect(middle).toBeCloseTo(0.05, 10);
    expect(last).toBeLessThan(0.001);
  });
});
