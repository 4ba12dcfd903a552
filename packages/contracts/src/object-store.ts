import type { Readable } from 'node:stream';

export interface ObjectInfo {
  /** Path below the store's root, with "/" between the parts. */
  key: string;
  sizeBytes: number;
  /** Of an object on this machine, to be read in place: its absolute path, links followed. */
  path?: string;
}

/** An object's bytes; `sizeBytes` is the size the store announced, null where it did not say. */
export type ObjectReadable = Readable & { readonly sizeBytes: number | null };

/** What is written: bytes in memory, or a file on this machine. */
export type ObjectBody = Uint8Array | { file: string };

export interface ReadOptions {
  signal?: AbortSignal;
  /** Only these bytes, counted from 0, both ends included; they must lie within the object. */
  range?: { start: number; end: number };
}

export interface WriteOptions {
  contentType?: string;
  onlyIfAbsent?: boolean;
  signal?: AbortSignal;
}

/**
 * A folder of objects: a bucket's prefix, or a directory. Keys are relative to it.
 *
 * Every method rejects with `AppError`: `storage_not_found`, `storage_forbidden`, `storage_unavailable` (retryable),
 * `uri_forbidden` or `disk_full`.
 */
export interface ObjectStore {
  /** URI of the folder, always with a slash at its end. */
  readonly uri: string;
  /** URI of one object. */
  uriOf(key: string): string;
  /** Every object below the folder, in the order of their keys. */
  list(options?: { signal?: AbortSignal }): AsyncIterable<ObjectInfo>;
  /** Names of the folders directly below `key` (itself without a slash at its end; '' for the root), sorted. */
  listFolders(key?: string): Promise<string[]>;
  /** Size of one object, or null where there is none. */
  stat(key: string, options?: { signal?: AbortSignal }): Promise<ObjectInfo | null>;
  /** A stream that breaks off, or is shorter or longer than announced, ends in `storage_unavailable`, never quietly. */
  read(key: string, options?: ReadOptions): Promise<ObjectReadable>;
  /** Whole object in memory. @throws AppError('payload_too_large') beyond `maxBytes`. */
  readBytes(key: string, maxBytes: number): Promise<Uint8Array>;
  /**
   * Stores one object and checks that its size arrived. Large files go up in parts.
   * @returns false, and writes nothing, where `onlyIfAbsent` is set and the object exists.
   */
  write(key: string, body: ObjectBody, options?: WriteOptions): Promise<boolean>;
  /**
   * Copies an object within the folder without bringing it here, in place of what has the other key.
   * @throws AppError storage_not_found where there is nothing to copy.
   */
  copy(from: string, to: string): Promise<void>;
  /**
   * A URL with which anyone can GET the object for `expiresInSeconds`, ranges included, without credentials. Nothing is asked of
   * the store: whether the object exists shows when the URL is used.
   * @returns null where the store has no such URLs, as a folder on a disk.
   */
  presignGet(key: string, expiresInSeconds: number): Promise<string | null>;
  /** Removes every object whose key starts with `prefix`; none is no error. */
  deleteAll(prefix: string): Promise<void>;
}

/** Opens folders by URI: `s3://bucket/prefix/`, `file:///path/`; `https://` is read-only. */
export interface ObjectStores {
  open(folderUri: string): ObjectStore;
  /** The store of an object's folder, and the object's key in it. */
  locate(objectUri: string): { store: ObjectStore; key: string };
  /**
   * The same, for what lies below one of these `s3://` and `file://` URIs too; `https://` is no matter of prefixes, and null bounds
   * nothing. Another URI is refused when it is opened, and a link to elsewhere whenever it would be followed, with `uri_forbidden`.
   */
  within(prefixes: readonly string[] | null): ObjectStores;
}
