import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect } from 'vitest';
import type { Configuration } from './engines.js';

/**
 * Largest error relative to the largest value, or to 1, which is what tensors are filled with: a small tanh or logarithm is what is left of a
 * subtraction from about 1, and no nearer than float32 has numbers there.
 */
const TOLERANCE = 1e-5;

/** What a tensor of a test is filled with. */
export type Filling =
  | 'uniform' // -1 to 1
  | 'positive' // 0.1 to 2
  | 'ties' // -1, 0 and 1
  | 'special' // a few NaN and infinities among uniform ones
  | 'infinite'; // a few infinities

/** A tensor to be made on whichever backend is current. */
export interface TensorSpec {
  shape: number[];
  filling: Filling;
  seed: number;
  dtype?: 'float32' | 'int32' | 'bool';
}

export const seeds = fc.integer({ min: 1, max: 2 ** 31 - 1 });

/** Channel counts below, at, between and above the blocks of 8 and 16. */
export const channels = fc.constantFrom(1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 20, 24, 32, 33);

/** Those of the fillings that an engine is to compute as the cpu backend does. */
export function fillingsFor({ isFiniteOnly }: Configuration, ...fillings: Filling[]): fc.Arbitrary<Filling> {
  return fc.constantFrom(
    ...fillings.filter((name) => !isFiniteOnly || !['special', 'infinite'].includes(name)),
  );
}

/** How many cases are tried: fewer where many are another program to compile, which takes lavapipe a second of processor time. */
export function runsFor({ engine }: Configuration, count: number): number {
  return engine === 'webgpu' ? Math.ceil(count / 4) : count;
}

/** Mulberry32. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function drawn(filling: Filling, random: () => number): number {
  const value = random();
  switch (filling) {
    case 'uniform':
      return value * 2 - 1;
    case 'positive':
      return 0.1 + value * 1.9;
    case 'ties':
      return Math.floor(value * 3) - 1;
    case 'special':
      return value < 0.9 ? value * 2 - 1 : value < 0.94 ? NaN : value < 0.97 ? Infinity : -Infinity;
    case 'infinite':
      return value < 0.95 ? value * 2 - 1 : value < 0.975 ? Infinity : -Infinity;
  }
}

export function tensorOf({ shape, filling, seed, dtype = 'float32' }: TensorSpec): tf.Tensor {
  const random = generator(seed);
  const values = Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => drawn(filling, random));
  if (dtype === 'float32') return tf.tensor(values, shape);
  const whole = dtype === 'bool' ? values.map((value) => Number(value > 0)) : values.map((v) => v * 100);
  return tf.tensor(Int32Array.from(whole), shape, dtype);
}

/** A tensor's content. */
export interface Content {
  shape: number[];
  dtype: string;
  values: number[];
}

export async function contentOf(tensor: tf.Tensor): Promise<Content> {
  return { shape: tensor.shape, dtype: tensor.dtype, values: Array.from(await tensor.data()) };
}

/** Runs a function on the named backend, and leaves that current. @returns the content of what it returns. */
export async function on(backend: string, compute: () => tf.Tensor | tf.Tensor[]): Promise<Content[]> {
  await tf.setBackend(backend);
  const tensors = [tf.tidy(compute)].flat();
  const contents = await Promise.all(tensors.map(contentOf));
  tf.dispose(tensors);
  return contents;
}

/** Fails unless shapes, dtypes, NaN and infinities are the same, and no error is above the tolerance. */
export function expectClose(actual: Content, expected: Content): void {
  expect({ shape: actual.shape, dtype: actual.dtype }).toEqual({
    shape: expected.shape,
    dtype: expected.dtype,
  });
  expect(actual.values.length).toBe(expected.values.length);
  const largest = expected.values.reduce(
    (max, value) => (Number.isFinite(value) ? Math.max(max, Math.abs(value)) : max),
    1,
  );
  expected.values.forEach((value, index) => {
    const got = actual.values[index]!;
    const isClose = Number.isFinite(value)
      ? Math.abs(got - value) <= largest * TOLERANCE
      : Object.is(got, value);
    if (!isClose)
      expect.fail(
        `Value ${index} of ${expected.values.length} is ${got}, not ${value} (largest: ${largest}).`,
      );
  });
}

/** Runs on a started engine's backend and on the cpu backend, and compares. */
export async function expectSameAsCpu(
  backend: string,
  compute: () => tf.Tensor | tf.Tensor[],
): Promise<void> {
  const expected = await on('cpu', compute);
  const actual = await on(backend, compute);
  expect(actual.length).toBe(expected.length);
  actual.forEach((content, index) => expectClose(content, expected[index]!));
}

/** One of tfjs's kernels, called past the ops' checks. */
export function runKernel(
  name: string,
  inputs: Record<string, tf.Tensor | tf.Tensor[] | undefined>,
  attributes: object = {},
): tf.Tensor {
  const given = Object.fromEntries(Object.entries(inputs).filter(([, tensor]) => tensor !== undefined));
  return tf
    .engine()
    .runKernel<tf.Tensor>(name, given as unknown as tf.NamedTensorMap, attributes as tf.NamedAttrMap);
}
