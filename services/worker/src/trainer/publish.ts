import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  AppError,
  type Artifacts,
  Manifest,
  type ManifestFile,
  type ObjectStore,
} from '@headstart/contracts';
import { hashFile } from '@headstart/storage';

export const MANIFEST = 'manifest.json';
export const REPORT = 'dataset-report.json';
const MAX_MANIFEST_BYTES = 16 * 1024 * 1024;

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

const CONTENT_TYPES: Record<string, string> = {
  json: 'application/json',
  jsonl: 'application/jsonl',
  csv: 'text/csv; charset=utf-8',
  svg: 'image/svg+xml',
};

/** The artifacts of a job that has published these files. */
export function artifactsOf(store: ObjectStore, paths: Iterable<string>): Artifacts {
  const published = new Set(paths);
  const files = Object.entries(MAIN_FILES)
    .filter(([, path]) => published.has(path))
    .map(([name, path]) => [name, store.uriOf(path)]);
  return { uri: store.uri, files: Object.fromEntries(files) as Record<string, string> };
}

/** The manifest of a job that an earlier attempt finished, else null. */
export async function readManifest(store: ObjectStore): Promise<Manifest | null> {
  if ((await store.stat(MANIFEST)) === null) return null;
  const bytes = await store.readBytes(MANIFEST, MAX_MANIFEST_BYTES);
  return Manifest.parse(JSON.parse(Buffer.from(bytes).toString()));
}

/** Writes a JSON file of the job into its work folder and uploads it. */
export async function uploadJson(
  store: ObjectStore,
  path: string,
  value: unknown,
  signal: AbortSignal,
): Promise<void> {
  const body = Buffer.from(toJson(value));
  await store.write(path, body, { contentType: contentTypeOf(path), signal });
}

export interface PublishOptions {
  store: ObjectStore;
  /** Folder that `paths` are below. */
  directory: string;
  paths: string[];
  /** What the store has already and the manifest lists too: checkpoints. */
  uploaded: ManifestFile[];
  manifest: Omit<Manifest, 'version' | 'createdAt' | 'files'>;
  signal: AbortSignal;
  onProgress(doneBytes: number, totalBytes: number): void;
}

/**
 * Uploads a job's files, checks that all are there, and then writes the manifest, which says that they are.
 * @returns the manifest: another attempt's, if that was first.
 */
export async function publish(options: PublishOptions): Promise<Manifest> {
  const { store, directory, paths, uploaded, signal, onProgress } = options;
  const files: ManifestFile[] = [];
  for (const path of paths) files.push({ path, ...(await hashFile(join(directory, path))) });
  const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let doneBytes = 0;
  onProgress(0, totalBytes);
  for (const { path, sizeBytes } of files) {
    await store.write(path, { file: join(directory, path) }, { contentType: contentTypeOf(path), signal });
    doneBytes += sizeBytes;
    onProgress(doneBytes, totalBytes);
  }
  const listed = [...files, ...uploaded].sort((a, b) => (a.path < b.path ? -1 : 1));
  await verify(store, listed, signal);
  const manifest: Manifest = {
    version: 1,
    ...options.manifest,
    createdAt: new Date().toISOString(),
    files: listed,
  };
  const body = Buffer.from(toJson(manifest));
  const isFirst = await store.write(MANIFEST, body, {
    contentType: contentTypeOf(MANIFEST),
    onlyIfAbsent: true,
    signal,
  });
  return isFirst ? manifest : ((await readManifest(store)) ?? manifest);
}

export async function writeJson(directory: string, path: string, value: unknown): Promise<void> {
  await writeFile(join(directory, path), toJson(value));
}

/** Compares the store's own listing with what was sent. */
async function verify(store: ObjectStore, files: ManifestFile[], signal: AbortSignal): Promise<void> {
  const sizes = new Map<string, number>();
  for await (const { key, sizeBytes } of store.list({ signal })) sizes.set(key, sizeBytes);
  const wrong = files.filter(({ path, sizeBytes }) => sizes.get(path) !== sizeBytes);
  const first = wrong[0];
  if (!first) return;
  throw new AppError(
    'storage_unavailable',
    `${wrong.length} uploaded files are missing or of another size, the first is ${first.path}: ${sizes.get(first.path) ?? 'no'} bytes of ${first.sizeBytes}.`,
    { details: { files: wrong.map(({ path }) => path) } },
  );
}

function contentTypeOf(path: string): string {
  return CONTENT_TYPES[path.slice(path.lastIndexOf('.') + 1)] ?? 'application/octet-stream';
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
