import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, it } from 'vitest';
import { type Configuration, startEngine } from '../../../support/engines.js';
import {
  channels,
  expectSameAsCpu,
  fillingsFor,
  runKernel,
  seeds,
  tensorOf,
} from '../../../support/kernels.js';
import { KERNEL_CONFIGURATIONS } from '../../../support/webgpu.js';

const sides = fc.integer({ min: 1, max: 13 });
const steps = fc.integer({ min: 1, max: 3 });

interface Pooling {
  filterSize: [number, number];
  strides: [number, number];
  pad: 'same' | 'valid';
}

const VGG_WINDOW: Pick<Pooling, 'filterSize' | 'strides'> = { filterSize: [2, 2], strides: [2, 2] };

/** VGG's pools, and others; odd sizes leave a row or a column over. */
const casesFor = (configuration: Configuration) =>
  fc
    .record({
      x: fc.tuple(fc.integer({ min: 1, max: 3 }), sides, sides, channels),
      window: fc.oneof(
        fc.constant(VGG_WINDOW),
        fc.record({ filterSize: fc.tuple(steps, steps), strides: fc.tuple(steps, steps) }),
      ),
      pad: fc.constantFrom('same' as const, 'valid' as const),
      filling: fillingsFor(configuration, 'uniform', 'ties', 'infinite'),
      seed: seeds,
    })
    .map(({ window, pad, ...rest }) => ({ ...rest, attributes: { ...window, pad } satisfies Pooling }))
    .filter(({ x, attributes: { filterSize, strides, pad } }) =>
      tf.backend_util.computePool2DInfo(x, filterSize, strides, 1, pad).outShape.every((side) => side > 0),
    );

describe.each(KERNEL_CONFIGURATIONS)('$label, like the cpu backend', (configuration) => {
  const backend = configuration.engine;
  const cases = casesFor(configuration);
  beforeAll(() => startEngine(configuration));

  it('takes the maximum', async () => {
    await fc.assert(
      fc.asyncProperty(cases, ({ x, attributes, filling, seed }) =>
        expectSameAsCpu(backend, () =>
          runKernel('MaxPool', { x: tensorOf({ shape: x, filling, seed }) }, attributes),
        ),
      ),
    );
  });

  it('gives the gradient to the first maximum of a window', async () => {
    await fc.assert(
      fc.asyncProperty(cases, ({ x, attributes, filling, seed }) =>
        expectSameAsCpu(backend, () => {
          const input = tensorOf({ shape: x, filling, seed });
          const output = runKernel('MaxPool', { x: input }, attributes);
          const dy = tensorOf({ shape: output.shape, filling: 'uniform', seed: seed + 1 });
          return runKernel('MaxPoolGrad', { dy, input, output }, attributes);
        }),
      ),
    );
  });

  it('takes NaN as the cpu backend does', async ({ skip }) => {
    skip(configuration.isFiniteOnly === true, 'WGSL leaves to the GPU what becomes of NaN');
    await fc.assert(
      fc.asyncProperty(cases, ({ x, attributes, seed }) =>
        expectSameAsCpu(backend, () => {
          const input = tensorOf({ shape: x, filling: 'special', seed });
          const output = runKernel('MaxPool', { x: input }, attributes);
          const dy = tensorOf({ shape: output.shape, filling: 'uniform', seed: seed + 1 });
          return [output, runKernel('MaxPoolGrad', { dy, input, output }, attributes)];
        }),
      ),
    );
  });

  it('takes batches without a picture', async () => {
    await expectSameAsCpu(backend, () =>
      runKernel('MaxPool', { x: tf.zeros([0, 4, 4, 8]) }, { ...VGG_WINDOW, pad: 'valid' }),
    );
  });
});
