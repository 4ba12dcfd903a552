import { open, readdir, rm, rmdir, stat } from 'node:fs/promises';
import { constants } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  AppError,
  type ObjectBody,
  type ObjectInfo,
  type ObjectReadable,
  type ObjectStore,
  type ReadOptions,
  type WriteOptions,
} from '@headstart/contracts';
import { sizedBody } from './body.js';
import { fileError, isMissing } from './file-errors.js';
import { checkRealPath, type FileBound } from './file-roots.js';
import { foldersIn, walkFiles } from './file-walk.js';
import { linkAtomically, writeAtomically } from './file-write.js';
import { guardStream } from './guarded-stream.js';
import { leavesFolder, notBelow } from './key-names.js';
import { readAll } from './read-bytes.js';

/** A folder on this machine, within all of its bounds. Every path is checked again, links followed, at each use. */
export class FileStore implements ObjectStore {
  readonly uri: string;
  readonly #folder: string;
  readonly #bounds: readonly FileBound[];

  /** @param folder absolute, and known to be within the bounds as it is written, or to hold one object that is. */
  constructor(folder: string, bounds: readonly FileBound[]) {
    this.#folder = folder;
    this.#bounds = bounds;
    this.uri = pathToFileURL(folder === '/' ? '/' : `${folder}/`).href;
  }

  uriOf(key: string): string {
    return pathToFileURL(this.#pathOf(key)).href;
  }

  async *list({ signal }: { signal?: AbortSignal } = {}): AsyncGenerator<ObjectInfo> {
    try {
      await checkRealPath(this.#folder, this.uri, this.#bounds);
      yield* walkFiles(this.#folder, '', (path) => this.#check(path), signal);
    } catch (error) {
      throw this.#error(error, this.uri, signal);
    }
  }

  async listFolders(key = ''): Promise<string[]> {
    const folder = this.#pathOf(key);
    try {
      await this.#check(folder);
      return await foldersIn(folder, (path) => this.#check(path));
    } catch (error) {
      throw fileError(error, this.uriOf(key));
    }
  }

  async stat(key: string): Promise<ObjectInfo | null> {
    const path = this.#pathOf(key);
    try {
      await this.#check(path);
      const stats = await stat(path);
      return stats.isFile() ? { key, sizeBytes: stats.size } : null;
    } catch (error) {
      if (isMissing(error)) return null;
      throw fileError(error, this.uriOf(key));
    }
  }

  async read(key: string, { signal, range }: ReadOptions = {}): Promise<ObjectReadable> {
    const path = this.#pathOf(key);
    const uri = this.uriOf(key);
    try {
      signal?.throwIfAborted();
      await this.#check(path);
      // O_NONBLOCK: opening a pipe that nobody writes to would wait forever otherwise.
      const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
      const stats = await handle.stat();
      if (!stats.isFile()) {
        await handle.close();
        throw new AppError('storage_not_found', `${uri} is not a file. Check the path.`);
      }
      const sizeBytes = range ? range.end - range.start + 1 : stats.size;
      return guardStream(handle.createReadStream(range), { uri, sizeBytes, signal });
    } catch (error) {
      throw this.#error(error, uri, signal);
    }
  }

  async readBytes(key: string, maxBytes: number): Promise<Uint8Array> {
    return readAll(await this.read(key), maxBytes, this.uriOf(key));
  }

  async write(key: string, body: ObjectBody, options: WriteOptions = {}): Promise<boolean> {
    const path = this.#pathOf(key);
    const sized = await sizedBody(body);
    try {
      options.signal?.throwIfAborted();
      await this.#check(path);
      return await writeAtomically(path, sized, options);
    } catch (error) {
      throw this.#error(error, this.uriOf(key), options.signal);
    }
  }

  async copy(from: string, to: string): Promise<void> {
    const [source, target] = [this.#pathOf(from), this.#pathOf(to)];
    try {
      await this.#check(source);
      await this.#check(target);
      await linkAtomically(source, target);
    } catch (error) {
      throw fileError(error, this.uriOf(from));
    }
  }

  presignGet(): Promise<null> {
    return Promise.resolve(null);
  }

  async deleteAll(prefix: string): Promise<void> {
    this.#pathOf(prefix);
    // Only the folder that the prefix ends in can hold matches, so only that one is read.
    const keyPrefix = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    const folder = this.#pathOf(keyPrefix);
    try {
      await this.#check(folder);
      for (const entry of await readdir(folder, { withFileTypes: true })) {
        if (!`${keyPrefix}${entry.name}`.startsWith(prefix)) continue;
        // A link is removed itself; what it leads to stays.
        await rm(join(folder, entry.name), { recursive: true, force: true });
      }
      if (prefix !== '' && prefix.endsWith('/')) await removeIfEmpty(folder);
    } catch (error) {
      if (!isMissing(error)) throw fileError(error, this.uriOf(prefix));
    }
  }

  /**
   * Absolute path of a key, which is taken as it is: not percent-decoded.
   * @throws AppError uri_forbidden where the key would leave the folder.
   */
  #pathOf(key: string): string {
    if (leavesFolder(key) || key.startsWith('/') || key.includes('\0')) throw notBelow(key, this.uri);
    const path = join(this.#folder, key);
    return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
  }

  #check(path: string): Promise<void> {
    return checkRealPath(path, pathToFileURL(path).href, this.#bounds);
  }

  #error(error: unknown, uri: string, signal: AbortSignal | undefined): unknown {
    return signal?.aborted ? signal.reason : fileError(error, uri);
  }
}

async function removeIfEmpty(folder: string): Promise<void> {
  try {
    await rmdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
  }
}
