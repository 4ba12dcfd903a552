import { rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
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
import { inFolder, openInPlace } from './file-open.js';
import { removeEntries } from './file-remove.js';
import { checkRealPath, type FileBound } from './file-roots.js';
import { foldersIn, walkFiles } from './file-walk.js';
import { type FilePlace, linkAtomically, writeAtomically } from './file-write.js';
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
      const folder = await checkRealPath(this.#folder, this.uri, this.#bounds);
      yield* walkFiles(folder, '', (path) => this.#check(path), signal);
    } catch (error) {
      throw this.#error(error, this.uri, signal);
    }
  }

  async listFolders(key = ''): Promise<string[]> {
    try {
      const folder = await this.#check(this.#pathOf(key));
      return await foldersIn(folder, (path) => this.#check(path));
    } catch (error) {
      throw fileError(error, this.uriOf(key));
    }
  }

  async stat(key: string): Promise<ObjectInfo | null> {
    try {
      const path = await this.#check(this.#pathOf(key));
      const stats = await stat(path);
      return stats.isFile() ? { key, sizeBytes: stats.size, path } : null;
    } catch (error) {
      if (isMissing(error)) return null;
      throw fileError(error, this.uriOf(key));
    }
  }

  async read(key: string, { signal, range }: ReadOptions = {}): Promise<ObjectReadable> {
    const uri = this.uriOf(key);
    try {
      signal?.throwIfAborted();
      const handle = await openInPlace(await this.#check(this.#pathOf(key)));
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
      return await writeAtomically(await this.#placeOf(path), sized, options);
    } catch (error) {
      throw this.#error(error, this.uriOf(key), options.signal);
    }
  }

  async copy(from: string, to: string): Promise<void> {
    const [source, target] = [this.#pathOf(from), this.#pathOf(to)];
    try {
      await linkAtomically(await this.#placeOf(source), await this.#placeOf(target));
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
      await inFolder(await this.#check(folder), (opened) =>
        removeEntries(opened, (name) => `${keyPrefix}${name}`.startsWith(prefix)),
      );
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

  /** Where a file is to be written. What is there may be a link to an allowed place, which is replaced itself. */
  async #placeOf(path: string): Promise<FilePlace> {
    await this.#check(path);
    return { folder: await this.#check(dirname(path)), name: basename(path) };
  }

  #check(path: string): Promise<string> {
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
