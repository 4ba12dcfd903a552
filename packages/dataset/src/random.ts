import { createHash } from 'node:crypto';
import { xoroshiro128plusFromState } from 'pure-rand/generator/xoroshiro128plus';
import type { RandomGenerator } from 'pure-rand/types/RandomGenerator';

/**
 * A generator that depends on the parts alone: the same parts give the same numbers in every process, and parts that
 * differ anywhere give unrelated ones.
 */
export function randomFrom(...parts: readonly (string | number)[]): RandomGenerator {
  const digest = createHash('sha256').update(JSON.stringify(parts)).digest();
  // All zeros, the one state that the generator cannot leave, does not come out of a hash.
  return xoroshiro128plusFromState([0, 4, 8, 12].map((offset) => digest.readInt32LE(offset)));
}
