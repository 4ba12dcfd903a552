import { constants } from 'node:fs';
import { type FileHandle, open, readlink, realpath } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { AppError } from '@headstart/contracts';

/**
 * What is opened here was checked by its path, and whoever may put links on its way may do so behind the check. So an open file or folder
 * is asked where it lies, and what is in a folder is reached through the open folder. Linux can do both; elsewhere a moment stays between.
 */
const IS_LINUX = process.platform === 'linux';
/** Opening a pipe that nobody writes to would wait forever otherwise. */
const TO_READ = constants.O_RDONLY | constants.O_NONBLOCK;

/** A folder that stays the one that was opened, whatever its path leads to by now. */
export interface OpenFolder {
  /** Path of an entry; without a name, of the folder itself, with a slash at its end. */
  at(name?: string): string;
  /** Has the disk know its entries. */
  sync(): Promise<void>;
}

/**
 * Opens a file or folder where it was found.
 * @param path without links.
 * @throws AppError uri_forbidden where what was opened lies elsewhere.
 */
export async function openInPlace(path: string): Promise<FileHandle> {
  const handle = await open(path, TO_READ);
  try {
    const place = IS_LINUX ? await readlink(pathThrough(handle)) : await realpath(path);
    // Linux says so of a file that another has replaced, as writers here do.
    if (place === path || place === `${path} (deleted)`) return handle;
    const { href } = pathToFileURL(path);
    throw new AppError('uri_forbidden', `${href} is not allowed: a link has been put on its way meanwhile.`);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Opens a folder where it was found, for as long as `work` takes. @param path without links. */
export async function inFolder<T>(path: string, work: (folder: OpenFolder) => Promise<T>): Promise<T> {
  return withFolder(await openInPlace(path), path, work);
}

/** Opens a folder that is in an open one, for as long as `work` takes. @throws Error ENOTDIR for a link to one. */
export async function inSubfolder<T>(path: Buffer, work: (folder: OpenFolder) => Promise<T>): Promise<T> {
  const handle = await open(path, TO_READ | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  return withFolder(handle, path.toString(), work);
}

async function withFolder<T>(
  handle: FileHandle,
  path: string,
  work: (folder: OpenFolder) => Promise<T>,
): Promise<T> {
  const through = IS_LINUX ? pathThrough(handle) : path;
  try {
    return await work({ at: (name = '') => `${through}/${name}`, sync: () => handle.sync() });
  } finally {
    await handle.close();
  }
}

function pathThrough({ fd }: FileHandle): string {
  return `/proc/self/fd/${fd}`;
}
