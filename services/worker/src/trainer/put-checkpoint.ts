import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, type ObjectStore } from '@headstart/contracts';
import { CHECKPOINT_INDEX, parseIndex } from '@headstart/training';
import { checkClaim } from './claim.js';

/** Uploads a checkpoint's folder, reads it back, and only then points to it by its checkpoint.json. */
export type PutCheckpoint = (directory: string, folder: string) => Promise<void>;

/**
 * Does so in the calling thread.
 * @param claim number of the claim that must be the last. @param folder key in the store, with a slash at its end.
 * @throws AppError storage_unavailable where what was read back is not what was sent, and Superseded.
 */
export async function putCheckpoint(
  store: ObjectStore,
  claim: number,
  directory: string,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  const index = await readFile(join(directory, CHECKPOINT_INDEX));
  for (const [name, { sha256 }] of Object.entries(parseIndex(index).files)) {
    await checkClaim(store, claim, signal);
    await store.write(folder + name, { file: join(directory, name) }, { signal });
    await checkArrived(store, folder + name, sha256, signal);
  }
  await checkClaim(store, claim, signal);
  await store.write(folder + CHECKPOINT_INDEX, index, { signal });
  const digest = createHash('sha256').update(index).digest('hex');
  await checkArrived(store, folder + CHECKPOINT_INDEX, digest, signal);
}

/** Reads an object back. @throws AppError storage_unavailable where it is not what was sent. */
async function checkArrived(
  store: ObjectStore,
  key: string,
  sha256: string,
  signal: AbortSignal,
): Promise<void> {
  const hash = createHash('sha256');
  for await (const chunk of await store.read(key, { signal })) hash.update(chunk as Buffer);
  if (hash.digest('hex') === sha256) return;
  throw new AppError(
    'storage_unavailable',
    `${store.uriOf(key)} was read back with another SHA-256 than that of what was sent. Try again.`,
  );
}
