import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  AppError,
  type Artifacts,
  contentTypeOf,
  type Manifest,
  type ManifestFile,
  type ObjectStore,
} from '@headstart/contracts';
import { hashFile } from '@headstart/storage';
import { removeUnlisted } from './checkpoints.js';
import { type Claim, type Commit, foldersOfAttempts } from './claim.js';

export const MANIFEST = 'manifest.json';
export const REPORT = 'dataset-report.json';

/** The main files by the names that the job's `artifacts` have for them. */
const MAIN_FILES = {
  manifest: MANIFEST,
  model: 'model/model.json',
  labels: 'labels.json',
  metrics: 'metrics.jsonl',
  metricsCsv: 'metrics.csv',
  confusionMatrix: 'confusion-matrix.json',
  predictions: 'predictions.jsonl',
  curves: 'curves.svg',
  report: REPORT,
  job: 'job.json',
} as const;

/** The artifacts of a job that has published these files. @param folder that they are in until all are. */
export function artifactsOf(store: ObjectStore, paths: Iterable<string>, folder = ''): Artifacts {
  const published = new Set(paths);
  const files = Object.entries(MAIN_FILES)
    .filter(([, path]) => published.has(path))
    .map(([name, path]) => [name, store.uriOf(folder + path)]);
  return { uri: store.uri, files: Object.fromEntries(files) as Record<string, string> };
}

/** Uploads a JSON file into the attempt's folder. */
export async function uploadJson(
  claim: Claim,
  path: string,
  value: unknown,
  signal: AbortSignal,
): Promise<void> {
  const body = Buffer.from(toJson(value));
  await claim.write(claim.folder + path, body, { contentType: contentTypeOf(path), signal });
}

export interface PublishOptions {
  store: ObjectStore;
  claim: Claim;
  /** Folder that `paths` are below. */
  directory: string;
  paths: string[];
  /** What the store has already and the manifest lists too: checkpoints of this attempt. */
  uploaded: ManifestFile[];
  manifest: Omit<Manifest, 'version' | 'createdAt' | 'files'>;
  signal: AbortSignal;
  onProgress(doneBytes: number, totalBytes: number): void;
}

/**
 * Uploads a job's files into the attempt's folder, checks that all are there, and decides that they are the job's.
 * @throws Superseded where another attempt has the job.
 */
export async function publish(options: PublishOptions): Promise<Commit> {
  const { store, claim, directory, paths, uploaded, signal, onProgress } = options;
  const files: ManifestFile[] = [];
  for (const path of paths) files.push({ path, ...(await hashFile(join(directory, path))) });
  const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let doneBytes = 0;
  onProgress(0, totalBytes);
  for (const { path, sizeBytes } of files) {
    const body = { file: join(directory, path) };
    await claim.write(claim.folder + path, body, { contentType: contentTypeOf(path), signal });
    doneBytes += sizeBytes;
    onProgress(doneBytes, totalBytes);
  }
  const staged = files.map((file) => ({ ...file, path: claim.folder + file.path }));
  await verify(store, [...staged, ...uploaded]);
  return claim.commit(paths, {
    version: 1,
    ...options.manifest,
    createdAt: new Date().toISOString(),
    files: [...files, ...uploaded].sort((a, b) => (a.path < b.path ? -1 : 1)),
  });
}

/**
 * Moves what was committed to its place and writes the manifest, which says that all is there; then removes what the job
 * no longer needs. Any attempt may do it, again and beside others: the bytes are always the same.
 */
export async function complete(store: ObjectStore, { folder, staged, manifest }: Commit): Promise<Manifest> {
  const isComplete = async () => (await store.stat(MANIFEST)) !== null;
  if (!(await isComplete())) {
    try {
      for (const path of staged) await store.copy(folder + path, path);
    } catch (error) {
      // Another one was faster, and has removed the folder.
      if (!(error instanceof AppError && error.code === 'storage_not_found' && (await isComplete())))
        throw error;
    }
    await verify(store, manifest.files);
    const body = Buffer.from(toJson(manifest));
    await store.write(MANIFEST, body, { contentType: contentTypeOf(MANIFEST), onlyIfAbsent: true });
  }
  for (const one of await foldersOfAttempts(store)) await store.deleteAll(one);
  await removeUnlisted(store, manifest.files);
  return manifest;
}

export async function writeJson(directory: string, path: string, value: unknown): Promise<void> {
  await writeFile(join(directory, path), toJson(value));
}

/** Compares the store's own listing with what was sent. */
async function verify(store: ObjectStore, files: ManifestFile[]): Promise<void> {
  const sizes = new Map<string, number>();
  for await (const { key, sizeBytes } of store.list()) sizes.set(key, sizeBytes);
  const wrong = files.filter(({ path, sizeBytes }) => sizes.get(path) !== sizeBytes);
  const first = wrong[0];
  if (!first) return;
  throw new AppError(
    'storage_unavailable',
    `${wrong.length} uploaded files are missing or of another size, the first is ${first.path}: ${sizes.get(first.path) ?? 'no'} bytes of ${first.sizeBytes}.`,
    { details: { files: wrong.map(({ path }) => path) } },
  );
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
