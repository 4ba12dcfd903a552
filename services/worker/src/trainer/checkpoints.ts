import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import {
  AppError,
  EpochMetrics,
  type ManifestFile,
  type ObjectStore,
  type ObjectStores,
} from '@headstart/contracts';
import { downloadTo } from '@headstart/storage';
import { CHECKPOINT_INDEX, checkpointName } from '@headstart/training';
import { z } from 'zod';

const FOLDER = 'checkpoints/';
const NEWEST_KEPT = 2;
/** Thousands of epochs fit. */
const MAX_INDEX_BYTES = 64 * 1024 * 1024;

/** The part of checkpoint.json that the worker reads. */
const CheckpointIndex = z.object({
  epoch: z.int(),
  best: z.object({ epoch: z.int() }).nullable(),
  metrics: z.array(EpochMetrics),
  files: z.record(z.string(), z.object({ sizeBytes: z.int(), sha256: z.string() })),
});

interface Found {
  epoch: number;
  index: z.infer<typeof CheckpointIndex>;
  /** checkpoint.json itself. */
  bytes: Uint8Array;
}

export interface Resumed {
  /** The downloaded checkpoint's folder. */
  directory: string;
  metrics: EpochMetrics[];
}

/**
 * A job's checkpoints in its object store, `checkpoints/epoch-NNNN/`.
 *
 * checkpoint.json is the last file of a checkpoint to go up: where it is missing, the checkpoint is not whole and does
 * not count. The two newest are kept, and the best.
 */
export interface Checkpoints {
  /** Brings the newest whole checkpoint below `workDir`; null where there is none. */
  downloadNewest(workDir: string): Promise<Resumed | null>;
  /** Uploads an epoch's checkpoint, then removes those that are no longer kept. */
  upload(directory: string, epoch: number, isBest: boolean): Promise<void>;
  /** URI of the newest whole checkpoint's folder. */
  newestUri(): string | null;
  /** Every file of the checkpoints that are kept. */
  files(): Promise<ManifestFile[]>;
}

export function createCheckpoints(
  stores: ObjectStores,
  store: ObjectStore,
  signal: AbortSignal,
): Checkpoints {
  const folderOf = (epoch: number) => `${FOLDER}${checkpointName(epoch)}/`;
  /** Epochs whose checkpoints are whole, oldest first. */
  let epochs: number[] = [];
  let bestEpoch: number | null = null;

  async function download(found: Found, workDir: string): Promise<string | null> {
    const directory = join(workDir, 'resume', checkpointName(found.epoch));
    for (const [name, expected] of Object.entries(found.index.files)) {
      const uri = store.uriOf(folderOf(found.epoch) + name);
      const file = join(directory, name);
      const got = await downloadTo(stores, uri, file, { maxBytes: expected.sizeBytes, signal });
      if (got.sha256 !== expected.sha256) {
        await rm(directory, { recursive: true, force: true });
        return null;
      }
    }
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, CHECKPOINT_INDEX), found.bytes);
    return directory;
  }

  return {
    async downloadNewest(workDir) {
      epochs = await listWhole(stores, store, signal);
      for (const epoch of epochs.toReversed()) {
        const found = await readIndex(store, folderOf(epoch), epoch);
        const directory = await download(found, workDir);
        if (directory === null) {
          // Altered in the store: an older one is better than none.
          epochs = epochs.filter((one) => one !== epoch);
          continue;
        }
        bestEpoch = found.index.best?.epoch ?? null;
        return { directory, metrics: found.index.metrics };
      }
      return null;
    },

    async upload(directory, epoch, isBest) {
      const names = (await readdir(directory)).filter((name) => name !== CHECKPOINT_INDEX);
      for (const name of [...names, CHECKPOINT_INDEX])
        await store.write(folderOf(epoch) + name, { file: join(directory, name) }, { signal });
      // One of the same epoch may be left from an attempt that was lost.
      epochs = [...epochs.filter((one) => one !== epoch), epoch];
      if (isBest) bestEpoch = epoch;
      const { kept, dropped } = retain(epochs, bestEpoch);
      for (const one of dropped) await store.deleteAll(folderOf(one));
      epochs = kept;
    },

    newestUri() {
      const newest = epochs.at(-1);
      return newest === undefined ? null : store.uriOf(folderOf(newest));
    },

    async files() {
      const files: ManifestFile[] = [];
      for (const epoch of epochs) {
        const { index, bytes } = await readIndex(store, folderOf(epoch), epoch);
        const sha256 = createHash('sha256').update(bytes).digest('hex');
        files.push({ path: folderOf(epoch) + CHECKPOINT_INDEX, sizeBytes: bytes.length, sha256 });
        for (const [name, digest] of Object.entries(index.files))
          files.push({ path: folderOf(epoch) + name, sizeBytes: digest.sizeBytes, sha256: digest.sha256 });
      }
      return files;
    },
  };
}

/** Which checkpoints stay: the newest ones, and the best. */
export function retain(
  epochs: readonly number[],
  bestEpoch: number | null,
): { kept: number[]; dropped: number[] } {
  const newest = new Set(epochs.slice(-NEWEST_KEPT));
  const isKept = (epoch: number) => newest.has(epoch) || epoch === bestEpoch;
  return { kept: epochs.filter(isKept), dropped: epochs.filter((epoch) => !isKept(epoch)) };
}

/** Epochs of the checkpoints that have their checkpoint.json, oldest first. */
async function listWhole(stores: ObjectStores, store: ObjectStore, signal: AbortSignal): Promise<number[]> {
  const epochs: number[] = [];
  try {
    for await (const { key } of stores.open(store.uri + FOLDER).list({ signal })) {
      const epoch = /^epoch-(\d+)$/.exec(dirname(key))?.[1];
      if (epoch !== undefined && basename(key) === CHECKPOINT_INDEX) epochs.push(Number(epoch));
    }
  } catch (error) {
    // In a directory, unlike in a bucket, a folder that nothing was written to does not exist.
    if (!(error instanceof AppError) || error.code !== 'storage_not_found') throw error;
  }
  return epochs.sort((a, b) => a - b);
}

async function readIndex(store: ObjectStore, folder: string, epoch: number): Promise<Found> {
  const bytes = await store.readBytes(folder + CHECKPOINT_INDEX, MAX_INDEX_BYTES);
  const index = CheckpointIndex.parse(JSON.parse(Buffer.from(bytes).toString()));
  return { epoch, index, bytes };
}
