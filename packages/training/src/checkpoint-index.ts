import { createHash } from 'node:crypto';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EpochMetrics } from '@headstart/contracts';
import { z } from 'zod';

export const CHECKPOINT_INDEX = 'checkpoint.json';
/** Node hashes and reads no more than 2 GiB at once, and an optimizer's state can be more. */
const AT_ONCE_BYTES = 64 * 1024 * 1024;

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
  const hash = createHash('sha256');
  if (typeof content === 'string') return hash.update(content).digest('hex');
  for (let at = 0; at < content.length; at += AT_ONCE_BYTES)
    hash.update(content.subarray(at, at + AT_ONCE_BYTES));
  return hash.digest('hex');
}

/** A whole file. @throws Error where it was cut short meanwhile. */
export async function readWhole(path: string): Promise<Buffer> {
  const handle = await open(path);
  try {
    const bytes = Buffer.allocUnsafe((await handle.stat()).size);
    for (let at = 0; at < bytes.length;) {
      const length = Math.min(AT_ONCE_BYTES, bytes.length - at);
      const { bytesRead } = await handle.read(bytes, at, length, at);
      if (bytesRead === 0) throw new Error(`${path} ends before its ${bytes.length} bytes.`);
      at += bytesRead;
    }
    return bytes;
  } finally {
    await handle.close();
  }
}
