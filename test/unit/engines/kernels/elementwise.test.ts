import '@tensorflow/tfjs-layers'; // Brings every gradient.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { countNativeRuns, startEngine } from '../../../support/engines.js';
import { expectSameAsCpu, fillingsFor, runKernel, seeds, tensorOf } from '../../../support/kernels.js';
import { KERNEL_CONFIGURATIONS } from '../../../support/webgpu.js';

const shapes = fc.array(fc.constantFrom(1, 2, 3, 5, 8, 17), { maxLength: 4 });

const UNARY: [name: string, attributes?: object][] = [
  ['Relu'],
  ['Relu6'],
  ['LeakyRelu', { alpha: 0.3 }],
  ['Elu'],
  ['Selu'],
  ['Sigmoid'],
  ['Tanh'],
  ['Exp'],
  ['Log'],
  ['Sqrt'],
  ['Rsqrt'],
  ['Square'],
  ['Neg'],
  ['Abs'],
  ['Sign'],
  ['Step', { alpha: 0 }],
  ['Step', { alpha: 0.2 }],
  ['Reciprocal'],
  ['Softplus'],
  ['IsNan'],
];

const BINARY = [
  'Add',
  'Sub',
  'Multiply',
  'RealDiv',
  'Maximum',
  'Minimum',
  'SquaredDifference',
  'Prelu',
  'Greater',
  'GreaterEqual',
  'Less',
  'Equal',
  'NotEqual',
];

/** Two shapes that go together: some sides of either are 1 or left out. */
const shapePairs = fc
  .tuple(
    shapes,
    fc.infiniteStream(fc.constantFrom('both', 'both', 'both', 'a', 'b')),
    fc.nat(4),
    fc.boolean(),
  )
  .map(([shape, stream, dropped, isFirstShort]) => {
    const kept = shape.map((side) => ({ side, from: stream.next().value as string }));
    const a = kept.map(({ side, from }) => (from === 'b' ? 1 : side));
    const b = kept.map(({ side, from }) => (from === 'a' ? 1 : side));
    return isFirstShort ? [a.slice(dropped), b] : [a, b.slice(dropped)];
  });

describe.each(KERNEL_CONFIGURATIONS)('$label, like the cpu backend', (configuration) => {
  const backend = configuration.engine;
  const fillings = fillingsFor(configuration, 'uniform', 'positive', 'ties', 'special');
  let nativeRuns: () => number | null;
  beforeAll(async () => {
    await startEngine(configuration);
    nativeRuns = countNativeRuns();
  });

  it.each(UNARY)('%s %o', async (name, attributes) => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          { weight: 9, arbitrary: shapes },
          { weight: 1, arbitrary: fc.constant<number[]>([3, 0, 2]) },
        ),
        fillings,
        seeds,
        (shape, filling, seed) =>
          expectSameAsCpu(backend, () =>
            runKernel(name, { x: tensorOf({ shape, filling, seed }) }, attributes),
          ),
      ),
      { numRuns: 30 },
    );
  });

  it.each(BINARY)('%s', async (name) => {
    await fc.assert(
      fc.asyncProperty(shapePairs, fillings, fillings, seeds, ([a, b], first, second, seed) =>
        expectSameAsCpu(backend, () =>
          runKernel(
            name,
            name === 'Prelu'
              ? {
                  x: tensorOf({ shape: a!, filling: first, seed }),
                  alpha: tensorOf({ shape: b!, filling: second, seed: seed + 1 }),
                }
              : {
                  a: tensorOf({ shape: a!, filling: first, seed }),
                  b: tensorOf({ shape: b!, filling: second, seed: seed + 1 }),
                },
          ),
        ),
      ),
      { numRuns: 40 },
    );
  });

  it.each(['Add', 'Sub', 'Multiply', 'RealDiv'])('%s, one side spread over pictures', async (name) => {
    const sides = fc.tuple(...[1, 2, 3, 4].map(() => fc.integer({ min: 1, max: 5 })));
    await fc.assert(
      fc.asyncProperty(
        sides,
        fillings,
        fc.boolean(),
        seeds,
        async ([n, height, width, channels], filling, isFirst, seed) => {
          const spread = { shape: [n!, 1, 1, channels!], filling, seed };
          const whole = { shape: [n!, height!, width!, channels!], filling, seed: seed + 1 };
          const [a, b] = isFirst ? [spread, whole] : [whole, spread];
          const before = nativeRuns();
          await expectSameAsCpu(backend, () => runKernel(name, { a: tensorOf(a), b: tensorOf(b) }));
          if (before !== null) expect(nativeRuns()).toBeGreaterThan(before);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('mixes types as the ops do', async () => {
    const dtypes = fc.constantFrom('float32' as const, 'int32' as const, 'bool' as const);
    const ops = fc.constantFrom(tf.add, tf.sub, tf.mul, tf.maximum, tf.minimum, tf.greater, tf.equal);
    await fc.assert(
      fc.asyncProperty(shapePairs, dtypes, dtypes, ops, seeds, ([a, b], first, second, op, seed) =>
        expectSameAsCpu(backend, () =>
          op(
            tensorOf({ shape: a!, filling: 'uniform', seed, dtype: first }),
            tensorOf({ shape: b!, filling: 'uniform', seed: seed + 1, dtype: second }),
          ),
        ),
      ),
    );
  });

  it('computes what follows a cast', async () => {
    const dtypes = fc.constantFrom('int32' as const, 'bool' as const);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 20 }), dtypes, seeds, (side, dtype, seed) =>
        expectSameAsCpu(backend, () => {
          const whole = tensorOf({ shape: [side, side], filling: 'uniform', seed, dtype });
          const x = tf.cast(whole, 'float32') as tf.Tensor2D;
          return [tf.relu(x), tf.mul(x, 0.5), tf.sum(x, 0), tf.matMul(x, x), tf.addN([x, x, x])];
        }),
      ),
    );
  });
});

describe.each(KERNEL_CONFIGURATIONS)(
  '$label: gradients of activations, like the cpu backend',
  (configuration) => {
    beforeAll(() => startEngine(configuration));

    it.each(['relu', 'elu', 'selu', 'sigmoid', 'tanh', 'softplus', 'leakyRelu', 'square', 'sqrt'] as const)(
      '%s',
      async (name) => {
        await fc.assert(
          fc.asyncProperty(
            shapes,
            fc.constantFrom('positive', 'ties', 'uniform'),
            seeds,
            (shape, filling, seed) =>
              expectSameAsCpu(configuration.engine, () =>
                tf.grad((x) => tf[name](x))(
                  tensorOf({ shape, filling: name === 'sqrt' ? 'positive' : filling, seed }),
                ),
              ),
          ),
          { numRuns: 30 },
        );
      },
    );
  },
);
