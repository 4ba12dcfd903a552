import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Configuration, countNativeRuns, startEngine } from '../../../support/engines.js';
import {
  expectSameAsCpu,
  fillingsFor,
  runKernel,
  runsFor,
  seeds,
  tensorOf,
} from '../../../support/kernels.js';
import { KERNEL_CONFIGURATIONS } from '../../../support/webgpu.js';

const sides = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(1, 8, 16, 0));

/** a [..., M, K] x b [..., K, N], with batches that are the same, or 1 on one side. */
const casesFor = (configuration: Configuration) =>
  fc
    .record({
      rows: sides,
      inner: sides,
      columns: sides,
      batches: fc.constantFrom([[1], [1]], [[3], [3]], [[2], [1]], [[1], [4]], [[0], [0]]),
      transposeA: fc.boolean(),
      transposeB: fc.boolean(),
      filling: fillingsFor(configuration, 'uniform', 'ties', 'special'),
      seed: seeds,
    })
    .map(({ rows, inner, columns, batches, ...rest }) => ({
      ...rest,
      a: [...batches[0], ...(rest.transposeA ? [inner, rows] : [rows, inner])],
      b: [...batches[1], ...(rest.transposeB ? [columns, inner] : [inner, columns])],
      columns,
      isNative: batches[0][0] === batches[1][0] && batches[0][0] * rows * inner * columns > 0,
    }));

describe.each(KERNEL_CONFIGURATIONS)('$label, like the cpu backend', (configuration) => {
  const backend = configuration.engine;
  const cases = casesFor(configuration);
  let nativeRuns: () => number | null;
  beforeAll(async () => {
    await startEngine(configuration);
    nativeRuns = countNativeRuns();
  });

  it('multiplies', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ({ a, b, transposeA, transposeB, filling, seed, isNative }) => {
        const before = nativeRuns();
        await expectSameAsCpu(backend, () =>
          runKernel(
            'BatchMatMul',
            {
              a: tensorOf({ shape: a, filling, seed }),
              b: tensorOf({ shape: b, filling: 'uniform', seed: seed + 1 }),
            },
            { transposeA, transposeB },
          ),
        );
        if (before !== null && isNative) expect(nativeRuns()).toBeGreaterThan(before);
      }),
      { numRuns: runsFor(configuration, 100) },
    );
  });

  it('multiplies with bias and activation in one', async () => {
    const activations = fc.constantFrom('linear', 'relu', 'relu', 'relu6', 'elu', 'sigmoid', 'leakyrelu');
    await fc.assert(
      fc.asyncProperty(
        cases,
        activations,
        fc.boolean(),
        ({ a, b, columns, transposeA, transposeB, filling, seed }, activation, hasBias) =>
          expectSameAsCpu(backend, () =>
            runKernel(
              '_FusedMatMul',
              {
                a: tensorOf({ shape: a, filling, seed }),
                b: tensorOf({ shape: b, filling: 'uniform', seed: seed + 1 }),
                bias: hasBias
                  ? tensorOf({ shape: [columns], filling: 'uniform', seed: seed + 2 })
                  : undefined,
              },
              { transposeA, transposeB, activation, leakyreluAlpha: 0.3 },
            ),
          ),
      ),
      { numRuns: runsFor(configuration, 100) },
    );
  });
});
