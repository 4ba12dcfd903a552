import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EpochMetrics } from '@headstart/contracts';
import { z } from 'zod';

export const CHECKPOINT_INDEX = 'checkpoint.json';

const StoredFile = z.object({
  arrays: z.array(z.object({ name: z.string(), shape: z.array(z.int()) })),
  sizeBytes: z.int(),
  sha256: z.string(),
});
export type StoredFile = z.infer<typeof StoredFile>;

/** checkpoint.json. Written last: where it stands the other files are whole. */
export const CheckpointIndex = z.object({
  version: z.literal(1),
  epoch: z.int(),
  /** Sums over the first `step` steps of the epoch that is not over; `seen` and `correct` count pictures. */
  running: z
    .object({
      step: z.int(),
      lossSum: z.number(),
      correct: z.int(),
      seen: z.int(),
      seconds: z.number(),
    })
    .nullable(),
  seed: z.int(),
  runDigest: z.string(),
  featureScale: z.number(),
  optimizer: z.object({ type: z.string(), step: z.int() }),
  best: z.object({ epoch: z.int(), value: z.number() }).nullable(),
  metrics: z.array(EpochMetrics),
  files: z.record(z.string(), StoredFile),
  stateDigest: z.string(),
});
export type CheckpointIndex = z.infer<typeof CheckpointIndex>;

/** Writes checkpoint.json with its own SHA-256 in it, so that a damaged one is known for what it is. */
export async function writeIndex(directory: string, index: CheckpointIndex): Promise<void> {
  const sealed = { ...index, sha256: sha256(JSON.stringify(index)) };
  await writeFile(join(directory, CHECKPOINT_INDEX), `${JSON.stringify(sealed, null, 2)}\n`);
}

export async function readIndex(directory: string): Promise<CheckpointIndex> {
  return parseIndex(await readFile(join(directory, CHECKPOINT_INDEX)));
}

/** @throws Error where the bytes are not a whole checkpoint.json of this version. */
export function parseIndex(bytes: Uint8Array): CheckpointIndex {
  // Bytes that are no UTF-8 would be replaced in silence.
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  const { sha256: seal, ...index } = JSON.parse(text) as Record<string, unknown>;
  if (seal !== sha256(JSON.stringify(index)))
    throw new Error(`${CHECKPOINT_INDEX} does not match its own digest.`);
  return CheckpointIndex.parse(index);
}

export function sha256(content: Uint8Array | string): string {
  return createHash('sha256').update(content).digest('hex');
}
