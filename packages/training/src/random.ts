import { createHash } from 'node:crypto';
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plusFromState } from 'pure-rand/generator/xoroshiro128plus';
import type { RandomGenerator } from 'pure-rand/types/RandomGenerator';

/**
 * A generator of its own for every purpose of a run: the same seed and purpose give the same numbers, and what one
 * purpose draws never moves another's.
 */
export function generatorFor(seed: number, ...purpose: (string | number)[]): RandomGenerator {
  const digest = createHash('sha256')
    .update([seed, ...purpose].join('/'))
    .digest();
  return xoroshiro128plusFromState([0, 4, 8, 12].map((offset) => digest.readInt32LE(offset)));
}

/** A permutation of 0..length-1 (Fisher-Yates). */
export function permutation(length: number, random: RandomGenerator): Uint32Array {
  const order = Uint32Array.from({ length }, (_, index) => index);
  for (let last = length - 1; last > 0; last--) {
    const other = uniformInt(random, 0, last);
    [order[last], order[other]] = [order[other]!, order[last]!];
  }
  return order;
}

/**
 * Glorot uniform, Keras's default for kernels: U(-l, l) with l = sqrt(6 / (fanIn + fanOut)) (Glorot and Bengio, 2010).
 * @param shape [units in, units out] or [height, width, channels in, channels out].
 */
export function glorotUniform(shape: readonly number[], random: RandomGenerator): Float32Array {
  const receptiveField = shape.slice(0, -2).reduce((product, side) => product * side, 1);
  const [fanIn, fanOut] = shape.slice(-2).map((units) => units * receptiveField) as [number, number];
  const limit = Math.sqrt(6 / (fanIn + fanOut));
  const values = new Float32Array(shape.reduce((product, side) => product * side, 1));
  for (let i = 0; i < values.length; i++) values[i] = (uniformFloat64(random) * 2 - 1) * limit;
  return values;
}
