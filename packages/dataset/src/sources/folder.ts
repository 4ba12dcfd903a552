import { mkdir, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, type ObjectInfo, type ObjectStore, printableUri } from '@headstart/contracts';
import { countFile, tooLargeReason, writeUpTo } from '../archives/unpacker.js';
import { mapConcurrently } from '../concurrency.js';
import { DOWNLOAD_CONCURRENCY, type DatasetLimits } from '../limits.js';
import { ignoredPlace } from '../paths.js';
import type { LocalFile, OpenContext, Refusal, Source } from './source.js';

/** A folder of objects: read in place where they are on this machine, downloaded from anywhere else. */
export function openFolder(context: OpenContext): Source {
  const store = context.stores.open(context.uri);
  return {
    listFolders: (key) => store.listFolders(key),
    async bring(isWanted) {
      const { objects, ignored } = await listObjects(store, isWanted, context.signal);
      const files = objects.flatMap(({ key, path }) =>
        path === undefined ? [] : [{ path: key, file: path }],
      );
      if (files.length === objects.length) return { files, refused: [], ignored };
      return { ...(await download(store, objects, context)), ignored };
    },
  };
}

async function listObjects(
  store: ObjectStore,
  isWanted: (path: string) => boolean,
  signal: AbortSignal,
): Promise<{ objects: ObjectInfo[]; ignored: Map<string, number> }> {
  const objects: ObjectInfo[] = [];
  const ignored = new Map<string, number>();
  for await (const object of store.list({ signal })) {
    // A key that ends in a slash is how some tools mark a folder in a bucket.
    if (object.key.endsWith('/')) continue;
    const place = ignoredPlace(object.key);
    if (place !== null) countFile(ignored, place);
    else if (isWanted(object.key)) objects.push(object);
  }
  return { objects, ignored };
}

async function download(
  store: ObjectStore,
  objects: ObjectInfo[],
  { uri, workDir, limits, signal, onProgress }: OpenContext,
): Promise<{ files: LocalFile[]; refused: Refusal[] }> {
  const directory = join(workDir, 'dataset');
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  const real = await realpath(directory);
  const refused: Refusal[] = [];
  let totalBytes = 0;
  let done = 0;
  const count = (bytes: number) => {
    totalBytes += bytes;
    if (totalBytes > limits.downloadBytes) throw tooLargeDownload(uri, limits);
  };
  const report = () => onProgress({ done, total: objects.length, unit: 'files' });
  report();
  const numbered = objects.map((object, index) => ({ ...object, index }));
  const files = await mapConcurrently(
    numbered,
    { concurrency: DOWNLOAD_CONCURRENCY, signal },
    async ({ key, sizeBytes, index }): Promise<LocalFile | null> => {
      // Numbers, not keys: a key may be a file and a folder at once.
      const file = join(real, String(index).padStart(6, '0'));
      const receivedBytes =
        sizeBytes > limits.pictureBytes
          ? sizeBytes
          : await writeUpTo(limits.pictureBytes, file, counted(await store.read(key, { signal }), count));
      done++;
      report();
      if (receivedBytes <= limits.pictureBytes) return { path: key, file };
      refused.push({ path: key, reason: tooLargeReason(receivedBytes, limits) });
      return null;
    },
  );
  return { files: files.filter((file) => file !== null), refused };
}

/** Passes chunks on, and their sizes to `count`, which may throw to stop. */
export async function* counted(
  stream: AsyncIterable<Buffer>,
  count: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  for await (const chunk of stream) {
    count(chunk.length);
    yield chunk;
  }
}

export function tooLargeDownload(uri: string, { downloadBytes }: DatasetLimits): AppError {
  return new AppError(
    'dataset_invalid',
    `The data set at ${printableUri(uri)} is larger than the ${downloadBytes} bytes that are downloaded. Post a smaller one: pictures shrunk to the input size lose nothing.`,
    { details: { limit: downloadBytes } },
  );
}
