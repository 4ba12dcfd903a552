import { createHash } from 'node:crypto';
import type { Picture, Plan } from '@headstart/contracts';
import type { BaseWeights } from './weights/base-weights.js';

/**
 * SHA-256 over what a run is made from: the plan as far as it decides what is computed, the base weights, and every
 * picture with its label, in order. A checkpoint goes on only in a run with the same digest.
 */
export function digestOfRun(
  plan: Plan,
  weights: Pick<BaseWeights, 'digest'>,
  dataset: Record<'train' | 'val', readonly Picture[]>,
): string {
  const training = { ...plan.training, maxDurationSeconds: null, checkpointEverySeconds: null };
  const decisive = { ...plan, training, notes: null, weightsDigest: weights.digest };
  const hash = createHash('sha256').update(JSON.stringify(decisive));
  for (const split of ['train', 'val'] as const) {
    hash.update(split);
    for (const { path, label, sha256 } of dataset[split]) hash.update(JSON.stringify([path, label, sha256]));
  }
  return hash.digest('hex');
}
