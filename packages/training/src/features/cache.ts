import { open, readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { makeRoom } from './room.js';
import {
  type FeatureId,
  isMissing,
  isSegmentName,
  keyOf,
  readerOf,
  readIndex,
  readRow,
  type ReadRange,
  type Row,
  SegmentWriter,
} from './segment.js';

/** A segment ends at either: a run that is killed loses no more than that. */
const SEGMENT_BYTES = 64 * 1024 * 1024;
const SEGMENT_MS = 30_000;

/** Segments that all workers share, as functions of an object store. Paths are `<prefix>/<segment>`. */
export interface SharedSegments {
  list(prefix: string): Promise<{ name: string; sizeBytes: number }[]>;
  read(path: string, offset: number, length: number): Promise<Buffer>;
  /** The file appears only when it is whole. */
  download(path: string, file: string): Promise<void>;
  upload(path: string, file: string): Promise<void>;
}

export interface FeatureCacheOptions {
  /** Folder on this machine; workers may share it. */
  directory: string;
  /** What is kept there. What runs still uses may come on top. */
  maxBytes: number;
  /** All else that features depend on: the engine's family, and how a picture is decoded. */
  computedBy: Readonly<Record<string, string>>;
  shared: SharedSegments | null;
  /** Called with what is amiss with the cache and does not keep the run from going on. */
  warn(message: string, fields: Record<string, unknown>): void;
}

/**
 * Opens what is kept of one prefix, for some pictures.
 *
 * Every row that is wanted is checked here once. A segment with a damaged one is removed, and all of its rows are missing.
 * @param prefix name of the prefix, made of all that its features depend on. @param onFound called as rows are found.
 */
export async function openFeatures(
  options: FeatureCacheOptions,
  { prefix, rowBytes, wanted }: { prefix: string; rowBytes: number; wanted: readonly FeatureId[] },
  onFound: (rows: number) => void,
): Promise<OpenFeatures> {
  const features = new OpenFeatures(options, prefix, rowBytes);
  try {
    await features.find(wanted, onFound);
    return features;
  } catch (error) {
    await features.close();
    throw error;
  }
}

/** Features of one prefix that are on this machine, open to be read and added to. */
export class OpenFeatures {
  private readonly options: FeatureCacheOptions;
  private readonly prefix: string;
  private readonly folder: string;
  private readonly rowBytes: number;
  private readonly rows = new Map<string, Row>();
  private readonly handles: Row['handle'][] = [];
  private writer: { segment: SegmentWriter; startedAtMs: number } | null = null;
  private uploads: Promise<void> = Promise.resolve();

  constructor(options: FeatureCacheOptions, prefix: string, rowBytes: number) {
    this.options = options;
    this.prefix = prefix;
    this.folder = join(options.directory, prefix);
    this.rowBytes = rowBytes;
  }

  has(id: FeatureId): boolean {
    return this.rows.has(keyOf(id));
  }

  /** Reads one row. @param target as long as a row. @throws Error where it is not what was written. */
  async read(id: FeatureId, target: Uint8Array): Promise<void> {
    if (!(await readRow(this.rows.get(keyOf(id))!, target)))
      throw new Error(`The features of the picture ${id.sha256} were altered on the disk.`);
  }

  /** Keeps those rows that are missing, of all that lie one behind the other in `bytes`. @throws ErrnoException where the disk is full. */
  async add(all: readonly FeatureId[], allBytes: Uint8Array): Promise<void> {
    const missing = all.flatMap((id, i) => (this.has(id) ? [] : [i]));
    if (missing.length === 0) return;
    const ids = missing.map((i) => all[i]!);
    const rowOf = (i: number) => allBytes.subarray(i * this.rowBytes, (i + 1) * this.rowBytes);
    const bytes = missing.length === all.length ? allBytes : Buffer.concat(missing.map(rowOf));
    this.writer ??= {
      segment: await this.withRoom(() => SegmentWriter.create(this.folder, this.rowBytes)),
      startedAtMs: performance.now(),
    };
    const { segment, startedAtMs } = this.writer;
    if (!this.handles.includes(segment.handle)) this.handles.push(segment.handle);
    const rows = await this.withRoom(() => segment.write(ids, bytes));
    ids.forEach((id, i) => this.rows.set(keyOf(id), rows[i]!));
    if (segment.sizeBytes >= SEGMENT_BYTES || performance.now() - startedAtMs > SEGMENT_MS) await this.seal();
  }

  /** Makes what was added last a segment that others find too. */
  async seal(): Promise<void> {
    if (!this.writer) return;
    const { segment } = this.writer;
    const path = await this.withRoom(() => segment.seal());
    this.writer = null;
    if (path !== null) this.upload(path);
    await makeRoom(this.options.directory, this.options.maxBytes);
  }

  /** Ends the use of the features, when all that was added has gone to the shared segments too. */
  async close(): Promise<void> {
    const unfinished = this.writer?.segment;
    // Of a run that was stopped, or whose disk is full.
    await this.seal().catch(() => unfinished?.discard());
    await this.uploads;
    await Promise.all(this.handles.map((handle) => handle.close()));
  }

  /** Looks for the wanted rows, on this machine first. */
  async find(wanted: readonly FeatureId[], onFound: (rows: number) => void): Promise<void> {
    const missing = new Set(wanted.map(keyOf));
    const names = await this.localNames();
    for (const name of names) {
      if (missing.size === 0) return;
      await this.take(name, missing, onFound);
    }
    if (missing.size > 0) await this.fetch(new Set(names), missing, onFound);
  }

  /** Opens one segment, and takes the rows that are missing, if it has some. */
  private async take(name: string, missing: Set<string>, onFound: (rows: number) => void): Promise<void> {
    const path = join(this.folder, name);
    let handle;
    try {
      handle = await open(path, 'r');
    } catch (error) {
      // Another worker has made room meanwhile.
      if (isMissing(error)) return;
      throw error;
    }
    const { size } = await handle.stat();
    const index = await readIndex(readerOf(handle), size, this.rowBytes);
    const found = index && [...index].filter(([key]) => missing.has(key));
    const rows = found?.map(([key, row]) => [key, { handle, ...row }] as const);
    if (!rows || !(await this.areWhole(rows.map(([, row]) => row)))) {
      await handle.close();
      await rm(path, { force: true });
      this.options.warn('features on the disk were damaged; they are computed anew', { path });
      return;
    }
    if (rows.length === 0) return handle.close();
    this.handles.push(handle);
    const now = new Date();
    // It may have lost its name meanwhile.
    await utimes(path, now, now).catch(() => undefined);
    for (const [key, row] of rows) {
      this.rows.set(key, row);
      missing.delete(key);
    }
    onFound(rows.length);
  }

  private async areWhole(rows: readonly Row[]): Promise<boolean> {
    const buffer = new Uint8Array(this.rowBytes);
    for (const row of rows) if (!(await readRow(row, buffer))) return false;
    return true;
  }

  /** Brings the shared segments that have missing rows to this machine. */
  private async fetch(
    here: ReadonlySet<string>,
    missing: Set<string>,
    onFound: (rows: number) => void,
  ): Promise<void> {
    const { shared, warn } = this.options;
    if (!shared) return;
    try {
      for (const { name, sizeBytes } of await shared.list(this.prefix)) {
        if (missing.size === 0) return;
        if (!isSegmentName(name) || here.has(name)) continue;
        const path = `${this.prefix}/${name}`;
        const read: ReadRange = (offset, length) => shared.read(path, offset, length);
        const index = await readIndex(read, sizeBytes, this.rowBytes);
        if (!index || ![...index.keys()].some((key) => missing.has(key))) continue;
        await shared.download(path, join(this.folder, name));
        await this.take(name, missing, onFound);
      }
      await makeRoom(this.options.directory, this.options.maxBytes);
    } catch (err) {
      warn('the shared features cannot be read; what is missing is computed', { err: messageOf(err) });
    }
  }

  private upload(path: string): void {
    const { shared, warn } = this.options;
    if (!shared) return;
    const name = path.slice(this.folder.length + 1);
    this.uploads = this.uploads
      .then(() => shared.upload(`${this.prefix}/${name}`, path))
      .catch((err: unknown) =>
        warn('features were not shared with other workers', { segment: name, err: messageOf(err) }),
      );
  }

  /** Segments on this machine, newest first. */
  private async localNames(): Promise<string[]> {
    const names = await readdir(this.folder).catch((error: unknown) => {
      if (isMissing(error)) return [];
      throw error;
    });
    const dated = await Promise.all(
      names.filter(isSegmentName).map(async (name) => {
        const stats = await stat(join(this.folder, name)).catch(() => null);
        return { name, mtimeMs: stats?.mtimeMs ?? 0 };
      }),
    );
    return dated.sort((a, b) => b.mtimeMs - a.mtimeMs).map(({ name }) => name);
  }

  /** Does it again with what nobody uses out of the way, where the disk is full: a cache must not take a run's place. */
  private async withRoom<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      await makeRoom(this.options.directory, 0);
      return work();
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
