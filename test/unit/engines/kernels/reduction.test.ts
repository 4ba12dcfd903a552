import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, it } from 'vitest';
import { type Configuration, startEngine } from '../../../support/engines.js';
import { expectSameAsCpu, type Filling, fillingsFor, seeds, tensorOf } from '../../../support/kernels.js';
import { KERNEL_CONFIGURATIONS } from '../../../support/webgpu.js';

/** A shape of up to four sides, and some of its axes. */
const casesFor = (configuration: Configuration) =>
  fc
    .record({
      shape: fc.array(fc.constantFrom(1, 2, 3, 7, 16, 33), { minLength: 1, maxLength: 4 }),
      picked: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
      keepDims: fc.boolean(),
      filling: fillingsFor(configuration, 'positive', 'ties', 'special'),
      seed: seeds,
    })
    .map(({ shape, picked, ...rest }) => ({
      ...rest,
      shape,
      axes: shape.map((_, axis) => axis).filter((axis) => picked[axis]),
    }));

const REDUCTIONS = {
  sum: tf.sum,
  mean: tf.mean,
  max: tf.max,
  min: tf.min,
  prod: tf.prod,
  'sum of squares': (x: tf.Tensor, axes: number[], keepDims: boolean) => tf.sum(tf.square(x), axes, keepDims),
};

describe.each(KERNEL_CONFIGURATIONS)('$label, like the cpu backend', (configuration) => {
  const backend = configuration.engine;
  const cases = casesFor(configuration);
  beforeAll(() => startEngine(configuration));

  it.each(Object.entries(REDUCTIONS))('%s over some axes', async (_, reduce) => {
    await fc.assert(
      fc.asyncProperty(cases, ({ shape, axes, keepDims, filling, seed }) =>
        expectSameAsCpu(backend, () => reduce(tensorOf({ shape, filling, seed }), axes, keepDims)),
      ),
      { numRuns: 60 },
    );
  });

  it.each([
    ['softmax', tf.softmax],
    ['logSoftmax', tf.logSoftmax],
    ['argMax', (x: tf.Tensor) => tf.argMax(x, -1)],
  ] as const)('%s', async (_, op) => {
    const shapes = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 2 });
    await fc.assert(
      fc.asyncProperty(shapes, fc.constantFrom<Filling>('uniform', 'ties'), seeds, (shape, filling, seed) =>
        expectSameAsCpu(backend, () => op(tensorOf({ shape, filling, seed }))),
      ),
      { numRuns: 60 },
    );
  });

  it('adds up many', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 1, max: 300 }),
        seeds,
        (count, size, seed) =>
          expectSameAsCpu(backend, () =>
            tf.addN(
              Array.from({ length: count }, (_, index) =>
                tensorOf({ shape: [size], filling: 'uniform', seed: seed + index }),
              ),
            ),
          ),
      ),
    );
  });

  it('sums nothing', async () => {
    for (const [shape, axes] of [
      [[0, 4], [0]],
      [[0, 4], [1]],
      [[3, 0, 2], [1]],
      [[0], [0]],
    ] as const)
      await expectSameAsCpu(backend, () => tf.sum(tf.zeros([...shape]), [...axes]));
  });
});
