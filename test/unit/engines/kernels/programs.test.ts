import '@tensorflow/tfjs-layers'; // Brings every gradient.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { startEngine } from '../../../support/engines.js';
import { type Content, contentOf, expectClose, runsFor, tensorOf } from '../../../support/kernels.js';
import { KERNEL_CONFIGURATIONS } from '../../../support/webgpu.js';

/**
 * Random programs over a few tensors and variables [SIDE, SIDE]. An engine that recycles memory, or computes in place,
 * must not do so while anybody else can see it: views, values that were read, saved activations, variables.
 */
const SIDE = 256; // 256 KiB: big enough to be recycled.

type Op = (x: tf.Tensor2D, y: tf.Tensor2D) => tf.Tensor;

/** Each keeps the values' magnitude near 1. */
const OPS: Record<string, Op> = {
  add: (x, y) => tf.mul(tf.add(x, y), 0.5),
  'add to itself': (x) => tf.mul(tf.add(x, x), 0.5),
  multiply: (x, y) => tf.mul(x, y),
  relu: (x) => tf.relu(x),
  'product of matrices': (x, y) => tf.div(tf.matMul(x, y, false, true), SIDE),
  slice: (x) => tf.pad(tf.slice(x, [3, 0], [SIDE - 3, SIDE]), [[0, 3], [0, 0]]), // prettier-ignore
  'halves put together': (x, y) =>
    tf.concat([tf.slice(x, [0, 0], [SIDE / 2, SIDE]), tf.slice(y, [SIDE / 2, 0])]),
  reshape: (x) => tf.reshape(tf.tanh(tf.reshape(x, [SIDE * SIDE])), [SIDE, SIDE]),
  view: (x) => tf.reshape(x, [SIDE, SIDE]),
  clone: (x) => tf.clone(x),
  transpose: (x) => tf.transpose(x),
  cast: (x) => tf.cast(tf.greater(x, 0), 'float32'),
  'row sums': (x, y) => tf.mul(tf.div(tf.sum(x, 1, true), SIDE), y),
  'select by sign': (x, y) => tf.where(tf.less(x, y), x, y),
  'add many': (x, y) => tf.div(tf.addN([x, y, x]), 3),
  unstack: (x) => tf.stack(tf.unstack(x).reverse()),
  gradient: (x, y) => tf.clipByValue(tf.grad((z) => tf.sum(tf.mul(tf.relu(z), y)))(x), -1, 1),
};

const actions = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('op' as const), op: fc.constantFrom(...Object.keys(OPS)) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('dispose', 'read', 'assign', 'step' as const) }),
  },
);
const programs = fc.array(fc.record({ action: actions, x: fc.nat(7), y: fc.nat(7), target: fc.nat(7) }), {
  minLength: 5,
  maxLength: 30,
});

type Program = typeof programs extends fc.Arbitrary<infer T> ? T : never;

/** Runs a program on the named backend. @returns every tensor at the end, and every array that was read on the way. */
async function run(backend: string, program: Program, seed: number): Promise<Content[]> {
  await tf.setBackend(backend);
  const before = tf.memory().numTensors;
  const make = (offset: number) => tensorOf({ shape: [SIDE, SIDE], filling: 'uniform', seed: seed + offset });
  const slots = Array.from({ length: 8 }, (_, index) => make(index) as tf.Tensor2D);
  const variables = [0, 1].map((index) => tf.tidy(() => tf.variable(make(100 + index))));
  const read: { values: ArrayLike<number>; copy: number[] }[] = [];
  const put = (index: number, tensor: tf.Tensor) => {
    slots[index]!.dispose();
    slots[index] = tensor as tf.Tensor2D;
  };
  for (const { action, x, y, target } of program) {
    const variable = variables[target % 2]!;
    if (action.kind === 'op') {
      const op = OPS[(action as { op: string }).op]!;
      // Kept apart from the slot it goes to, which may be one of its inputs.
      const result = tf.tidy(() =>
        op(slots[x]!, y > 5 ? (variables[y - 6] as unknown as tf.Tensor2D) : slots[y]!),
      );
      put(target, result);
    } else if (action.kind === 'dispose') put(target, make(x));
    else if (action.kind === 'read') {
      const values = await slots[x]!.data();
      read.push({ values, copy: Array.from(values) });
    } else if (action.kind === 'assign') tf.tidy(() => variable.assign(tf.mul(slots[x]!, 0.5)));
    else {
      tf.tidy(() => variable.assign(tf.sub(variable, tf.mul(slots[x]!, 0.1))));
      tf.tidy(() => variable.assign(tf.clipByValue(variable, -1, 1)));
    }
  }
  for (const { values, copy } of read)
    expect(Array.from(values), 'an array that was read has changed').toEqual(copy);
  const contents = await Promise.all([...slots, ...variables].map(contentOf));
  for (const tensor of [...slots, ...variables]) tensor.dispose();
  expect(tf.memory().numTensors).toBe(before);
  return contents;
}

describe.each(KERNEL_CONFIGURATIONS)('$label', (configuration) => {
  beforeAll(() => startEngine(configuration));

  it('computes random programs as the cpu backend does', async () => {
    await fc.assert(
      fc.asyncProperty(programs, fc.integer({ min: 1, max: 1e6 }), async (program, seed) => {
        const expected = await run('cpu', program, seed);
        const actual = await run(configuration.engine, program, seed);
        actual.forEach((content, index) => expectClose(content, expected[index]!));
      }),
      { numRuns: runsFor(configuration, 12) },
    );
  });
});
