import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Configuration, countNativeRuns, startEngine } from '../../../support/engines.js';
import {
  channels,
  expectSameAsCpu,
  type Filling,
  fillingsFor,
  runKernel,
  runsFor,
  seeds,
  tensorOf,
} from '../../../support/kernels.js';
import { KERNEL_CONFIGURATIONS } from '../../../support/webgpu.js';

type Padding = tf.backend_util.ExplicitPadding | 'same' | 'valid' | number;

interface Case {
  x: [number, number, number, number];
  filter: [number, number, number, number];
  strides: [number, number];
  dilations: [number, number];
  pad: Padding;
  seed: number;
}

const MOST_MULTIPLICATIONS = 1_500_000;

function infoOf({ x, filter, strides, dilations, pad }: Case): tf.backend_util.Conv2DInfo {
  return tf.backend_util.computeConv2DInfo(x, filter, strides, dilations, pad, 'floor');
}

/** Whether the case has an output, and is small enough for the cpu backend. */
function isUsable(candidate: Case): boolean {
  const { outHeight, outWidth, outShape } = infoOf(candidate);
  if (outHeight < 1 || outWidth < 1) return false;
  const [height, width, inChannels] = candidate.filter;
  return tf.util.sizeFromShape(outShape) * height * width * inChannels <= MOST_MULTIPLICATIONS;
}

const sides = fc.integer({ min: 1, max: 13 });
const paddings: fc.Arbitrary<Padding> = fc.oneof(
  fc.constantFrom<Padding>('same', 'valid', 0, 1, 2),
  fc
    .tuple(...([0, 0, 0, 0] as const).map(() => fc.integer({ min: 0, max: 3 })))
    .map(([top, bottom, left, right]): Padding => [
      [0, 0],
      [top!, bottom!],
      [left!, right!],
      [0, 0],
    ]),
);

/** Convolutions; in a gradient tfjs allows no dilation. */
function cases(withDilations: boolean): fc.Arbitrary<Case> {
  const steps = (max: number) => fc.tuple(fc.integer({ min: 1, max }), fc.integer({ min: 1, max }));
  const undilated = steps(3).map((strides) => ({ strides, dilations: [1, 1] as [number, number] }));
  const dilated = steps(3).map((dilations) => ({ strides: [1, 1] as [number, number], dilations }));
  return fc
    .record({
      batch: fc.integer({ min: 1, max: 3 }),
      size: fc.tuple(sides, sides),
      kernel: fc.oneof(fc.constant([3, 3]), fc.tuple(...[5, 5].map((max) => fc.integer({ min: 1, max })))),
      inChannels: channels,
      outChannels: channels,
      steps: withDilations ? fc.oneof(undilated, dilated) : undilated,
      pad: paddings,
      seed: seeds,
    })
    .map(({ batch, size, kernel, inChannels, outChannels, steps, pad, seed }): Case => ({
      x: [batch, ...size, inChannels],
      filter: [kernel[0], kernel[1], inChannels, outChannels],
      ...steps,
      pad,
      seed,
    }))
    .filter(isUsable);
}

const geometricCases = (withDilations: boolean) => cases(withDilations).filter(isGeometric);

/** Cases that every engine has to compute itself; a gradient may be left to the cpu kernel where a padding is wide. */
const isUsual = ({ pad }: Case) => pad === 'same' || pad === 'valid';

/**
 * Whether the result has a convolution's size. Where the padding is a number, tfjs computes the width of the result with
 * the filter's height and the stride along it, so it need not.
 */
function isGeometric(candidate: Case): boolean {
  const info = infoOf(candidate);
  const { top, bottom, left, right } = info.padInfo;
  const [, height, width] = candidate.x;
  return (
    Math.floor((height + top + bottom - info.effectiveFilterHeight) / info.strideHeight) + 1 ===
      info.outHeight &&
    Math.floor((width + left + right - info.effectiveFilterWidth) / info.strideWidth) + 1 === info.outWidth
  );
}

const attributesOf = ({ strides, dilations, pad }: Case) => ({
  strides,
  dilations,
  pad,
  dataFormat: 'NHWC',
  dimRoundingMode: 'floor',
});

function filterGradient(given: Case, filling: Filling): tf.Tensor {
  return runKernel(
    'Conv2DBackpropFilter',
    {
      x: tensorOf({ shape: given.x, filling, seed: given.seed }),
      dy: tensorOf({ shape: infoOf(given).outShape, filling: 'uniform', seed: given.seed + 1 }),
    },
    { ...attributesOf(given), filterShape: given.filter },
  );
}

/** More than a filter's gradient of few channels can be shared among as it is. */
const MANY_THREADS: Configuration = {
  label: 'onnxruntime on 5 threads',
  engine: 'onnxruntime',
  settings: { minimumSize: 0, threads: 5 },
};

describe.each([...KERNEL_CONFIGURATIONS, MANY_THREADS])('$label, like the cpu backend', (configuration) => {
  const backend = configuration.engine;
  // Infinities only in x: padding multiplies a filter by zero here, and leaves it out on the cpu backend.
  const fillings = fillingsFor(configuration, 'uniform', 'ties', 'special');
  let nativeRuns: () => number | null;
  beforeAll(async () => {
    await startEngine(configuration);
    nativeRuns = countNativeRuns();
  });

  /** Checks many cases, and that ONNX Runtime computed all of them but those that the cpu kernel is to do. */
  async function check<T>(
    arbitrary: fc.Arbitrary<T>,
    compute: (value: T) => tf.Tensor,
    isNative: (value: T) => boolean,
  ): Promise<void> {
    await fc.assert(
      fc.asyncProperty(arbitrary, async (value) => {
        const before = nativeRuns();
        await expectSameAsCpu(backend, () => compute(value));
        if (before !== null && isNative(value)) expect(nativeRuns()).toBeGreaterThan(before);
      }),
      { numRuns: runsFor(configuration, 100) },
    );
  }

  it('convolves', async () => {
    await check(
      fc.tuple(geometricCases(true), fillings),
      ([given, filling]) =>
        runKernel(
          'Conv2D',
          {
            x: tensorOf({ shape: given.x, filling, seed: given.seed }),
            filter: tensorOf({ shape: given.filter, filling: 'uniform', seed: given.seed + 1 }),
          },
          attributesOf(given),
        ),
      ([given]) => isUsual(given),
    );
  });

  it('convolves with bias and activation in one', async () => {
    const activations = fc.constantFrom(
      undefined,
      ...(['linear', 'relu', 'relu', 'relu6', 'elu', 'sigmoid', 'leakyrelu', 'prelu'] as const),
    );
    await check(
      fc.tuple(geometricCases(true), fillings, activations, fc.boolean()),
      ([given, filling, activation, hasBias]) => {
        const perChannel = (seed: number) =>
          tensorOf({ shape: [given.filter[3]], filling: 'uniform', seed: given.seed + seed });
        return runKernel(
          'FusedConv2D',
          {
            x: tensorOf({ shape: given.x, filling, seed: given.seed }),
            filter: tensorOf({ shape: given.filter, filling: 'uniform', seed: given.seed + 1 }),
            bias: hasBias ? perChannel(2) : undefined,
            preluActivationWeights: activation === 'prelu' ? perChannel(3) : undefined,
          },
          { ...attributesOf(given), activation, leakyreluAlpha: 0.3 },
        );
      },
      ([given, , activation]) => isUsual(given) && ['linear', 'relu'].includes(activation ?? 'linear'),
    );
  });

  it("gives the input's gradient", async () => {
    await check(
      fc.tuple(geometricCases(false), fillings),
      ([given, filling]) =>
        runKernel(
          'Conv2DBackpropInput',
          {
            dy: tensorOf({ shape: infoOf(given).outShape, filling, seed: given.seed }),
            filter: tensorOf({ shape: given.filter, filling: 'uniform', seed: given.seed + 1 }),
          },
          { ...attributesOf(given), inputShape: given.x },
        ),
      ([given]) => isUsual(given),
    );
  });

  it("gives the filter's gradient", async () => {
    await check(
      fc.tuple(geometricCases(false), fillings),
      ([given, filling]) => filterGradient(given, filling),
      ([given]) => isUsual(given),
    );
  });

  it("gives the filter's gradient where channels fill whole blocks", async () => {
    const whole = fc
      .tuple(geometricCases(false), fc.constantFrom(8, 16, 32, 48))
      .map(([given, inChannels]): Case => {
        const [height, width, , outChannels] = given.filter;
        return {
          ...given,
          x: [...given.x.slice(0, 3), inChannels] as Case['x'],
          filter: [height, width, inChannels, outChannels],
          strides: [1, 1],
        };
      })
      .filter((given) => isUsable(given) && isGeometric(given));
    await check(
      fc.tuple(whole, fillings),
      ([given, filling]) => filterGradient(given, filling),
      ([given]) => isUsual(given),
    );
  });

  it.each<[string, Case['x'], Case['filter']]>([
    ['rows of large pictures', [1, 280, 300, 16], [3, 3, 16, 1]],
    ['many small pictures', [50, 37, 40, 16], [3, 2, 16, 1]],
  ])("sums the filter's gradient over %s", async (_, x, filter) => {
    const given: Case = { x, filter, strides: [1, 1], dilations: [1, 1], pad: 'same', seed: 1 };
    const before = nativeRuns();
    await expectSameAsCpu(backend, () => filterGradient(given, 'uniform'));
    if (before !== null) expect(nativeRuns()).toBeGreaterThan(before);
  });

  it('keeps to sizes that are not quite a convolution', async () => {
    const odd = cases(true).filter((candidate) => !isGeometric(candidate));
    const isNative = () => false;
    const filterOf = ({ filter, seed }: Case) =>
      tensorOf({ shape: filter, filling: 'uniform', seed: seed + 1 });
    await check(
      odd,
      (given) =>
        runKernel(
          'Conv2D',
          { x: tensorOf({ shape: given.x, filling: 'uniform', seed: given.seed }), filter: filterOf(given) },
          attributesOf(given),
        ),
      isNative,
    );
    const undilated = cases(false).filter((candidate) => !isGeometric(candidate));
    for (const gradient of ['Conv2DBackpropInput', 'Conv2DBackpropFilter']) {
      await check(
        undilated,
        (given) =>
          runKernel(
            gradient,
            {
              x: tensorOf({ shape: given.x, filling: 'uniform', seed: given.seed }),
              dy: tensorOf({ shape: infoOf(given).outShape, filling: 'uniform', seed: given.seed + 2 }),
              filter: filterOf(given),
            },
            { ...attributesOf(given), inputShape: given.x, filterShape: given.filter },
          ),
        isNative,
      );
    }
  });

  it('takes batches without a picture', async ({ skip }) => {
    skip(backend === 'webgpu', 'tfjs convolves no empty batch there, and training has none');
    for (const name of ['Conv2D', 'FusedConv2D', 'Conv2DBackpropInput', 'Conv2DBackpropFilter']) {
      const [batch, filter] = [tf.zeros([0, 5, 4, 8]), [3, 3, 8, 8]];
      const attributes = { strides: [1, 1], dilations: [1, 1], pad: 'same', dataFormat: 'NHWC' };
      await expectSameAsCpu(backend, () =>
        runKernel(
          name,
          { x: batch, dy: batch, filter: tf.zeros(filter) },
          { ...attributes, inputShape: batch.shape, filterShape: filter },
        ),
      );
    }
  });
});
