import type { Dirent, Stats } from 'node:fs';
import { lstat, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { AppError, type ObjectInfo } from '@headstart/contracts';
import { isMissing } from './file-errors.js';
import { inFolder, type OpenFolder } from './file-open.js';
import { isTemporaryName } from './file-write.js';

/** What stands in a name for bytes that are no UTF-8. */
const REPLACEMENT = '\ufffd';

/** Checks an absolute path before it is followed; throws if it may not be. @returns it without links. */
export type PathCheck = (path: string) => Promise<string>;

interface Entry {
  name: string;
  /** Without links. */
  path: string;
  stats: Stats;
}

/**
 * Every file below `folder`, in the order an object store lists keys in: by the bytes of the whole key.
 *
 * Links are followed after `check`. Devices, sockets and pipes hold no object and are left out.
 * @param folder without links.
 */
export async function* walkFiles(
  folder: string,
  keyPrefix: string,
  check: PathCheck,
  signal?: AbortSignal,
  above: readonly string[] = [],
): AsyncGenerator<ObjectInfo> {
  // A link to a folder above it would go round forever, and leads to nothing that is not listed already.
  if (above.includes(folder)) return;
  for (const entry of await entriesOf(folder, check)) {
    signal?.throwIfAborted();
    const key = `${keyPrefix}${entry.name}`;
    if (entry.stats.isFile()) yield { key, sizeBytes: entry.stats.size, path: entry.path };
    else if (entry.stats.isDirectory())
      yield* walkFiles(entry.path, `${key}/`, check, signal, [...above, folder]);
  }
}

/** Names of the folders directly in `folder`, sorted by their bytes. @param folder without links. */
export async function foldersIn(folder: string, check: PathCheck): Promise<string[]> {
  const entries = await entriesOf(folder, check);
  return entries.filter(({ stats }) => stats.isDirectory()).map(({ name }) => name);
}

async function entriesOf(folder: string, check: PathCheck): Promise<Entry[]> {
  const entries: Entry[] = [];
  await inFolder(folder, async (opened) => {
    for (const dirent of await readdir(opened.at(), { withFileTypes: true })) {
      const entry = await followEntry(dirent, folder, opened, check);
      if (entry) entries.push(entry);
    }
  });
  const order = ({ name, stats }: Entry) => Buffer.from(stats.isDirectory() ? `${name}/` : name);
  return entries.sort((a, b) => Buffer.compare(order(a), order(b)));
}

async function followEntry(
  dirent: Dirent,
  folder: string,
  opened: OpenFolder,
  check: PathCheck,
): Promise<Entry | null> {
  const { name } = dirent;
  if (isTemporaryName(name)) return null;
  const path = join(folder, name);
  try {
    if (!dirent.isSymbolicLink()) return { name, path, stats: await lstat(opened.at(name)) };
    const real = await check(path);
    // A link that leads nowhere is like a file that is gone: nothing to list.
    return { name, path: real, stats: await stat(real) };
  } catch (error) {
    if (!isMissing(error)) throw error;
    // It is there, but not under the name that its bytes were read as.
    if (name.includes(REPLACEMENT)) throw unreadableName(path);
    return null;
  }
}

function unreadableName(path: string): AppError {
  return new AppError(
    'storage_unavailable',
    `${pathToFileURL(path).href} has a name that is no UTF-8, and cannot be read by it. Rename it.`,
    { retryable: false },
  );
}
