import type { IncomingMessage } from 'node:http';
import {
  AppError,
  type ObjectInfo,
  type ObjectReadable,
  type ObjectStore,
  printableUri,
  type ReadOptions,
} from '@headstart/contracts';
import type { UrlGuard } from './guarded-request.js';
import { guardStream } from './guarded-stream.js';
import { requestHttps } from './https-request.js';
import { readAll } from './read-bytes.js';

/** Single objects of a web server, read-only: a web server has no folders to list. */
export class HttpsStore implements ObjectStore {
  readonly uri: string;

  readonly #guard: UrlGuard;

  /** @param uri https:// URL of a folder, with a slash at its end. */
  constructor(uri: string, guard: UrlGuard) {
    this.uri = uri;
    this.#guard = guard;
  }

  /** A key is the rest of the URL as it is written there, with its query if it has one. */
  uriOf(key: string): string {
    return `${this.uri}${key}`;
  }

  list(): AsyncIterable<ObjectInfo> {
    const next = () => Promise.reject(this.#refusal('listed'));
    return { [Symbol.asyncIterator]: () => ({ next }) };
  }

  listFolders(): Promise<string[]> {
    return Promise.reject(this.#refusal('listed'));
  }

  async stat(key: string, { signal }: { signal?: AbortSignal } = {}): Promise<ObjectInfo | null> {
    const url = this.#urlOf(key);
    let answer: IncomingMessage;
    try {
      answer = await requestHttps(this.#guard, url, 'HEAD', signal);
    } catch (error) {
      if (error instanceof AppError && error.code === 'storage_not_found') return null;
      throw error;
    }
    answer.resume();
    const sizeBytes = contentLength(answer);
    if (sizeBytes === null)
      throw new AppError(
        'storage_unavailable',
        `The server does not say how large ${printableUri(url.href)} is.`,
        {
          retryable: false,
        },
      );
    return { key, sizeBytes };
  }

  async read(key: string, { signal, range }: ReadOptions = {}): Promise<ObjectReadable> {
    // A server is free to ignore a range and to send everything.
    if (range) throw this.#refusal('read in ranges');
    const url = this.#urlOf(key);
    const answer = await requestHttps(this.#guard, url, 'GET', signal);
    return guardStream(answer, { uri: printableUri(url.href), sizeBytes: contentLength(answer), signal });
  }

  async readBytes(key: string, maxBytes: number): Promise<Uint8Array> {
    return readAll(await this.read(key), maxBytes, printableUri(this.#urlOf(key).href));
  }

  presignGet(): Promise<null> {
    return Promise.resolve(null);
  }

  write(): Promise<boolean> {
    return Promise.reject(this.#refusal('written to'));
  }

  copy(): Promise<void> {
    return Promise.reject(this.#refusal('written to'));
  }

  deleteAll(): Promise<void> {
    return Promise.reject(this.#refusal('deleted from'));
  }

  /** A key stays below the folder: "..", "//host" and the like would leave it. */
  #urlOf(key: string): URL {
    const url = new URL(this.uriOf(key));
    if (url.href.startsWith(this.uri)) return url;
    throw new AppError('uri_forbidden', `${JSON.stringify(key)} is not a name below ${this.uri}.`);
  }

  #refusal(what: string): AppError {
    return new AppError(
      'uri_forbidden',
      `${this.uri} cannot be ${what}: https:// is for reading single files. Use an s3:// or file:// URI.`,
    );
  }
}

function contentLength({ headers }: IncomingMessage): number | null {
  const value = headers['content-length'];
  return value === undefined ? null : Number(value);
}
