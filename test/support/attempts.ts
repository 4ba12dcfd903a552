import { createHash, randomUUID } from 'node:crypto';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Manifest, type ObjectStore, type ObjectStores } from '@headstart/contracts';
import {
  claimJob,
  complete,
  createCheckpoints,
  isCommit,
  publish,
  putCheckpoint,
  Superseded,
  underClaim,
} from '@headstart/worker';
import { CHECKPOINT_INDEX, parseIndex } from '@headstart/training';
import { expect } from 'vitest';
import { temporaryFolder, planFor, trainDrawn } from './training.js';

const never = new AbortController().signal;
const MAX_BYTES = 1024 * 1024;
const PATHS = ['model/model.json', 'labels.json'];

/**
 * What `runAttempt` changes when it is alone: claim, three files of each of three checkpoints, the first one's removal, two
 * files, commit, two copies, manifest, tidying.
 */
export const CHANGES = 18;

/** Checkpoints behind the epochs of a small run, in `<folder>/<epoch>/`. */
export async function drawCheckpoints(epochs: number): Promise<string> {
  const folder = await temporaryFolder();
  const plan = planFor({
    scenario: 'small-different',
    model: { featureLayer: 'block1_pool', head: [] },
    training: { epochs, batchSize: 12 },
  });
  await trainDrawn(plan, {
    onCheckpoint: ({ directory, epoch }) => cp(directory, join(folder, `${epoch}`), { recursive: true }),
  });
  return folder;
}

export interface Gate {
  store: ObjectStore;
  /** How many changes to the store have been let through. */
  passed(): number;
  /** Resolves when the attempt stands before the change at which it is stopped. */
  reached: Promise<void>;
  open(): void;
}

/** A store at which an attempt stops, as a stopped process does, right before its `stopAt`-th change (from 0). */
export function gate(store: ObjectStore, stopAt: number): Gate {
  let passed = 0;
  let open = () => {};
  let reach = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  const reached = new Promise<void>((resolve) => (reach = resolve));
  const pass = async () => {
    if (passed === stopAt) {
      reach();
      await opened;
    }
    passed++;
  };
  const gated: ObjectStore = {
    uri: store.uri,
    uriOf: (key) => store.uriOf(key),
    list: (options) => store.list(options),
    listFolders: (key) => store.listFolders(key),
    stat: (key) => store.stat(key),
    read: (key, options) => store.read(key, options),
    readBytes: (key, maxBytes) => store.readBytes(key, maxBytes),
    presignGet: (key, seconds) => store.presignGet(key, seconds),
    async write(key, body, options) {
      await pass();
      return store.write(key, body, options);
    },
    async copy(from, to) {
      await pass();
      return store.copy(from, to);
    },
    async deleteAll(prefix) {
      await pass();
      return store.deleteAll(prefix);
    },
  };
  return { store: gated, passed: () => passed, reached, open };
}

/**
 * Runs an attempt at a job as the trainer does, with nothing but its dealings with the store: it claims the job, goes on
 * behind the newest checkpoint, and publishes files that say whose they are.
 * @returns the manifest it would report, or that it was superseded.
 */
export async function runAttempt(
  stores: ObjectStores,
  store: ObjectStore,
  attempt: number,
  drawn: string,
): Promise<Manifest | 'superseded'> {
  try {
    const claim = await claimJob(store, attempt);
    if (isCommit(claim)) return await complete(store, claim);
    return await underClaim(claim, async () => {
      const workDir = join(drawn, `work-${randomUUID()}`);
      const put = (directory: string, folder: string) =>
        putCheckpoint(store, claim.number, directory, folder, never);
      const checkpoints = createCheckpoints(stores, store, claim, put);
      const { runDigest } = parseIndex(await readFile(join(drawn, '1', CHECKPOINT_INDEX)));
      const resumed = await checkpoints.downloadNewest(workDir, runDigest, never, () => undefined);
      for (const epoch of [1, 2, 3].slice(resumed?.epoch ?? 0)) {
        await checkpoints.upload({ directory: join(drawn, `${epoch}`), epoch, step: 0, isBest: epoch === 2 });
        await checkpoints.prune();
      }
      for (const path of PATHS) {
        await mkdir(dirname(join(workDir, path)), { recursive: true });
        await writeFile(join(workDir, path), `${path} of attempt ${attempt}`);
      }
      const commit = await publish({
        store,
        claim,
        directory: workDir,
        paths: PATHS,
        uploaded: await checkpoints.adopt(),
        manifest: manifestOf(attempt),
        signal: never,
        onProgress: () => undefined,
      });
      return complete(store, commit);
    });
  } catch (error) {
    if (error instanceof Superseded) return 'superseded';
    throw error;
  }
}

function manifestOf(attempt: number): Omit<Manifest, 'version' | 'createdAt' | 'files'> {
  return {
    jobId: 'job',
    attempt,
    exportedEpoch: 3,
    weightsDigest: '',
    datasetDigest: '',
    stateDigest: '',
    seed: 0,
    runtime: { engine: 'none', device: 'none', versions: {} },
    features: [],
  };
}

/** One manifest, of one attempt, and every file that it lists is there and that attempt's. */
export async function expectOnePublished(
  store: ObjectStore,
  ends: readonly (Manifest | 'superseded')[],
): Promise<Manifest> {
  const manifest = Manifest.parse(JSON.parse(await textOf(store, 'manifest.json')));
  // Whoever did not give up knows of no other.
  for (const end of ends) if (end !== 'superseded') expect(end).toEqual(manifest);
  expect(ends.some((end) => end !== 'superseded')).toBe(true);
  for (const { path, sizeBytes, sha256 } of manifest.files) {
    const bytes = await store.readBytes(path, MAX_BYTES);
    expect({ path, sizeBytes: bytes.length, sha256: digestOf(bytes) }).toEqual({ path, sizeBytes, sha256 });
  }
  for (const path of PATHS) expect(await textOf(store, path)).toBe(`${path} of attempt ${manifest.attempt}`);
  const claims = new Set(manifest.files.flatMap(({ path }) => /-attempt-(\d+)\//.exec(path)?.[1] ?? []));
  expect(claims.size).toBe(1);
  const [claim] = claims;
  expect(JSON.parse(await textOf(store, `attempts/${claim}.json`))).toMatchObject({
    type: 'claim',
    attempt: manifest.attempt,
  });
  return manifest;
}

async function textOf(store: ObjectStore, key: string): Promise<string> {
  return Buffer.from(await store.readBytes(key, MAX_BYTES)).toString();
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
