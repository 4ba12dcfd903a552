import { mkdir, realpath, rm } from 'node:fs/promises';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { unpackArchive } from '../archives/unpack.js';
import { inPlace } from '../in-place.js';
import { byCodeUnit } from '../paths.js';
import { counted, tooLargeDownload } from './folder.js';
import { datasetNotFound, type OpenContext, type Source } from './source.js';

/** An archive: read in place at file://, downloaded from anywhere else, and unpacked into `dataset` below workDir. */
export async function openArchive(context: OpenContext): Promise<Source> {
  const { uri, stores, workDir, limits, signal, onProgress } = context;
  const { store, key } = stores.locate(uri);
  await mkdir(workDir, { recursive: true });
  const directory = join(await realpath(workDir), 'dataset');
  await rm(directory, { recursive: true, force: true });

  let unpacked;
  if (uri.startsWith('file:')) {
    const path = (await store.stat(key))?.path;
    if (path === undefined) throw datasetNotFound(uri);
    const options = { uri, directory, limits, signal };
    unpacked = await inPlace(path, (opened) => unpackArchive(opened.path, options));
  } else {
    const archive = join(workDir, 'dataset-archive');
    await downloadArchive(archive, context);
    unpacked = await unpackArchive(archive, { uri, directory, limits, signal });
    await rm(archive);
  }
  const { files, folders, refused, ignored } = unpacked;
  onProgress({ done: files.length, total: files.length, unit: 'files' });
  return {
    listFolders: (parent) => Promise.resolve(childrenOf(folders, parent)),
    bring: (isWanted) =>
      Promise.resolve({
        files: files.filter(({ path }) => isWanted(path)),
        refused: refused.filter(({ path }) => isWanted(path)),
        ignored,
      }),
  };
}

async function downloadArchive(
  archive: string,
  { uri, stores, limits, signal, onProgress }: OpenContext,
): Promise<void> {
  const { store, key } = stores.locate(uri);
  const stream = await store.read(key, { signal });
  const total = stream.sizeBytes;
  if (total !== null && total > limits.downloadBytes) {
    stream.destroy();
    throw tooLargeDownload(uri, limits);
  }
  let done = 0;
  const count = (bytes: number) => {
    done += bytes;
    if (done > limits.downloadBytes) throw tooLargeDownload(uri, limits);
    onProgress({ done, total, unit: 'bytes' });
  };
  await pipeline(
    stream,
    (chunks: AsyncIterable<Buffer>) => counted(chunks, count),
    createWriteStream(archive),
    {
      signal,
    },
  );
}

function childrenOf(folders: Set<string>, parent: string): string[] {
  const prefix = parent === '' ? '' : `${parent}/`;
  return [...folders]
    .filter((folder) => folder.startsWith(prefix) && !folder.slice(prefix.length).includes('/'))
    .map((folder) => folder.slice(prefix.length))
    .sort(byCodeUnit);
}
