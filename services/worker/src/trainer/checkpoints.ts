import { createHash } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import {
  AppError,
  type EpochMetrics,
  type ManifestFile,
  type ObjectStore,
  type ObjectStores,
} from '@headstart/contracts';
import { downloadTo } from '@headstart/storage';
import {
  CHECKPOINT_INDEX,
  type CheckpointIndex,
  checkpointName,
  parseIndex,
  type SavedCheckpoint,
} from '@headstart/training';
import type { CheckpointUris } from '../trainer-protocol.js';
import type { Claim } from './claim.js';
import type { PutCheckpoint } from './put-checkpoint.js';

const FOLDER = 'checkpoints/';
const NAME = /^epoch-(\d+)-step-(\d+)-attempt-(\d+)$/;
const NEWEST_KEPT = 2;
/** Thousands of epochs fit. */
const MAX_INDEX_BYTES = 64 * 1024 * 1024;

/** A checkpoint in the store: behind `epoch` epochs and `step` steps of the next one. */
export interface StoredCheckpoint {
  epoch: number;
  step: number;
  /** Number of the claim of the attempt that wrote it. */
  claim: number;
}

export interface Resumed extends StoredCheckpoint {
  /** The downloaded checkpoint's folder. */
  directory: string;
  metrics: EpochMetrics[];
}

/**
 * A job's checkpoints in its object store, `checkpoints/epoch-NNNN-step-NNNNNN-attempt-NNNN/`.
 *
 * A checkpoint goes up into a folder of its own and is read back. Only then does its checkpoint.json follow, which holds
 * the digests of the other files and one of itself: where it is missing or wrong, the checkpoint does not count. The two
 * newest are kept, and the best.
 *
 * An attempt goes on from another's checkpoint, and may remove those of attempts before it. It publishes its own alone: an
 * earlier attempt that wakes up can remove or write over nothing that the manifest lists.
 */
export interface Checkpoints {
  /**
   * Brings the newest whole checkpoint of that run below `workDir`; null where there is none.
   * @param onUnusable called with each newer one that is not whole, or of another run, and why.
   */
  downloadNewest(
    workDir: string,
    runDigest: string,
    signal: AbortSignal,
    onUnusable: (uri: string, reason: string) => void,
  ): Promise<Resumed | null>;
  upload(checkpoint: SavedCheckpoint): Promise<void>;
  /** Removes those that are no longer kept. */
  prune(): Promise<void>;
  /** The newest whole checkpoint, and its folder. */
  newest(): { epoch: number; step: number; uri: string } | null;
  /** Folders of the newest one and of the best epoch's. */
  uris(): CheckpointUris;
  /** Makes those that are kept this attempt's own. @returns every file of theirs. */
  adopt(): Promise<ManifestFile[]>;
}

export function createCheckpoints(
  stores: ObjectStores,
  store: ObjectStore,
  claim: Claim,
  put: PutCheckpoint,
): Checkpoints {
  /** Those that are whole as far as is known, oldest first. */
  let stored: StoredCheckpoint[] = [];
  let bestEpoch: number | null = null;
  const uriOf = (one: StoredCheckpoint | undefined) => (one ? store.uriOf(folderOf(one)) : null);

  return {
    async downloadNewest(workDir, runDigest, asked, onUnusable) {
      const all = await listStored(stores, store, asked);
      // Of one that has claimed since, if at all.
      stored = all.filter((one) => one.claim <= claim.number);
      for (const checkpoint of stored.toReversed()) {
        const directory = join(workDir, 'resume', folderOf(checkpoint));
        try {
          const index = await download(stores, store, checkpoint, runDigest, directory, asked);
          bestEpoch = index.best?.epoch ?? null;
          return { ...checkpoint, directory, metrics: index.metrics };
        } catch (error) {
          if (asked.aborted || isOutage(error)) throw error;
          const reason = error instanceof Error ? error.message : String(error);
          onUnusable(store.uriOf(folderOf(checkpoint)), reason);
          await rm(directory, { recursive: true, force: true });
          stored = stored.filter((one) => one !== checkpoint);
        }
      }
      return null;
    },

    async upload({ directory, epoch, step, isBest }) {
      const checkpoint = { epoch, step, claim: claim.number };
      const folder = folderOf(checkpoint);
      await put(directory, folder);
      // It may be up already, and be here again because what it replaces could not be removed.
      stored = [...stored.filter((one) => folderOf(one) !== folder), checkpoint];
      if (isBest) bestEpoch = epoch;
    },

    async prune() {
      const { kept, dropped } = retain(stored, bestEpoch);
      for (const one of dropped) await store.deleteAll(folderOf(one));
      stored = kept;
    },

    newest() {
      const newest = stored.at(-1);
      if (newest === undefined) return null;
      return { epoch: newest.epoch, step: newest.step, uri: store.uriOf(folderOf(newest)) };
    },

    uris() {
      const best = stored.find(({ epoch, step }) => epoch === bestEpoch && step === 0);
      return { lastCheckpointUri: uriOf(stored.at(-1)), bestCheckpointUri: uriOf(best) };
    },

    async adopt() {
      const files: ManifestFile[] = [];
      const owned: StoredCheckpoint[] = [];
      for (const checkpoint of stored) {
        try {
          files.push(...(await ownFiles(store, checkpoint, claim.number)));
          owned.push({ ...checkpoint, claim: claim.number });
        } catch (error) {
          // An attempt that was stopped has woken up and removed what it no longer keeps.
          if (checkpoint.claim === claim.number || !isMissing(error)) throw error;
        }
      }
      stored = owned;
      return files;
    },
  };
}

/** @throws Error where it is not whole, or of another run, and AppError of the store. */
async function download(
  stores: ObjectStores,
  store: ObjectStore,
  checkpoint: StoredCheckpoint,
  runDigest: string,
  directory: string,
  signal: AbortSignal,
): Promise<CheckpointIndex> {
  const { index, bytes } = await readIndex(store, folderOf(checkpoint));
  if (index.runDigest !== runDigest) throw new Error('it is of another plan, data set or base weights');
  for (const [name, { sizeBytes, sha256 }] of Object.entries(index.files)) {
    const uri = store.uriOf(folderOf(checkpoint) + name);
    const got = await downloadTo(stores, uri, join(directory, name), { maxBytes: sizeBytes, signal });
    if (got.sha256 !== sha256) throw new Error(`${name} is not what ${CHECKPOINT_INDEX} says it is`);
  }
  await writeFile(join(directory, CHECKPOINT_INDEX), bytes);
  return index;
}

/** Copies a checkpoint of another attempt under that claim's name. @returns its files there. */
async function ownFiles(
  store: ObjectStore,
  checkpoint: StoredCheckpoint,
  claim: number,
): Promise<ManifestFile[]> {
  const folder = folderOf({ ...checkpoint, claim });
  const { index, bytes } = await readIndex(store, folderOf(checkpoint));
  if (checkpoint.claim !== claim) {
    for (const name of [...Object.keys(index.files), CHECKPOINT_INDEX])
      await store.copy(folderOf(checkpoint) + name, folder + name);
  }
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return [
    { path: folder + CHECKPOINT_INDEX, sizeBytes: bytes.length, sha256 },
    ...Object.entries(index.files).map(([name, file]) => ({
      path: folder + name,
      sizeBytes: file.sizeBytes,
      sha256: file.sha256,
    })),
  ];
}

/** Which checkpoints stay: the newest ones, and that of the best epoch. @param stored oldest first. */
export function retain<Stored extends Pick<StoredCheckpoint, 'epoch' | 'step'>>(
  stored: readonly Stored[],
  bestEpoch: number | null,
): { kept: Stored[]; dropped: Stored[] } {
  const newest = new Set(stored.slice(-NEWEST_KEPT));
  const isKept = (one: Stored) => newest.has(one) || (one.epoch === bestEpoch && one.step === 0);
  return { kept: stored.filter(isKept), dropped: stored.filter((one) => !isKept(one)) };
}

/** Removes the checkpoints that a finished job's manifest does not list. */
export async function removeUnlisted(store: ObjectStore, listed: readonly ManifestFile[]): Promise<void> {
  const folders = new Set(listed.map(({ path }) => dirname(path)));
  for (const name of await store.listFolders(FOLDER.slice(0, -1))) {
    if (!folders.has(FOLDER + name)) await store.deleteAll(`${FOLDER}${name}/`);
  }
}

function folderOf({ epoch, step, claim }: StoredCheckpoint): string {
  return `${FOLDER}${checkpointName(epoch, step)}-attempt-${String(claim).padStart(4, '0')}/`;
}

/** The checkpoints that have their checkpoint.json, oldest first. */
async function listStored(
  stores: ObjectStores,
  store: ObjectStore,
  signal: AbortSignal,
): Promise<StoredCheckpoint[]> {
  const found: StoredCheckpoint[] = [];
  try {
    for await (const { key } of stores.open(store.uri + FOLDER).list({ signal })) {
      const name = NAME.exec(dirname(key));
      if (name === null || basename(key) !== CHECKPOINT_INDEX) continue;
      const [epoch, step, claim] = name.slice(1).map(Number) as [number, number, number];
      found.push({ epoch, step, claim });
    }
  } catch (error) {
    // In a directory, unlike in a bucket, a folder that nothing was written to does not exist.
    if (!isMissing(error)) throw error;
  }
  return found.sort((a, b) => a.epoch - b.epoch || a.step - b.step || a.claim - b.claim);
}

async function readIndex(
  store: ObjectStore,
  folder: string,
): Promise<{ index: CheckpointIndex; bytes: Uint8Array }> {
  const bytes = await store.readBytes(folder + CHECKPOINT_INDEX, MAX_INDEX_BYTES);
  return { index: parseIndex(bytes), bytes };
}

/** Whether the store says that there is no such object, or folder. */
export function isMissing(error: unknown): boolean {
  return error instanceof AppError && error.code === 'storage_not_found';
}

/** What says nothing about the checkpoint: the store is away, or does not let anyone in. */
function isOutage(error: unknown): boolean {
  return error instanceof AppError && !isMissing(error) && error.code !== 'payload_too_large';
}
