import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { crc32 } from 'node:zlib';

/*
 * A segment is a file of features, all of one prefix, that never changes once it has its name:
 *
 *   rows      count * rowBytes
 *   index     count * 40: the picture's SHA-256 (32), 1 if it was mirrored (1), zeros (3), CRC-32 of the row (4)
 *   footer    "HSF1", rowBytes, count, CRC-32 of the index: 4 bytes each, little endian
 *
 * It is written under another name and renamed, and never forced to the disk: what a power failure leaves of it does not
 * match its checksums.
 */
const MAGIC = 0x31465348;
const INDEX_BYTES = 40;
export const FOOTER_BYTES = 16;
const SEGMENT_NAME = /^[0-9a-f-]{36}\.features$/;
/** What SegmentWriter writes, and a download. */
const PARTIAL_NAME = /\.part$/;

export const isSegmentName = (name: string): boolean => SEGMENT_NAME.test(name);
export const isPartialName = (name: string): boolean => PARTIAL_NAME.test(name);

/** One picture's features: its SHA-256, and whether it was mirrored left to right. */
export interface FeatureId {
  sha256: string;
  mirrored: boolean;
}

/** The id as a key of maps. */
export function keyOf({ sha256, mirrored }: FeatureId): string {
  return mirrored ? `${sha256}m` : sha256;
}

/** Where a row stands in an open file, which may have lost its name meanwhile. */
export interface Row {
  handle: FileHandle;
  offset: number;
  crc: number;
}

/** A segment that is being written. Its rows can be read from the first on. */
export class SegmentWriter {
  sizeBytes = 0;
  readonly handle: FileHandle;
  private readonly path: string;
  private readonly rowBytes: number;
  private readonly index: Buffer[] = [];

  private constructor(handle: FileHandle, path: string, rowBytes: number) {
    this.handle = handle;
    this.path = path;
    this.rowBytes = rowBytes;
  }

  static async create(folder: string, rowBytes: number): Promise<SegmentWriter> {
    const path = join(folder, `${randomUUID()}.part`);
    for (let tries = 1; ; tries++) {
      await mkdir(folder, { recursive: true });
      try {
        return new SegmentWriter(await open(path, 'wx+'), path, rowBytes);
      } catch (error) {
        // Another worker that makes room may have removed the empty folder in between.
        if (!isMissing(error) || tries === 3) throw error;
      }
    }
  }

  /** Appends rows, one behind the other in `bytes`. After a failure the same call can be made again. */
  async write(ids: readonly FeatureId[], bytes: Uint8Array): Promise<Row[]> {
    const first = this.sizeBytes;
    await writeAll(this.handle, bytes, first);
    this.sizeBytes += bytes.length;
    return ids.map(({ sha256, mirrored }, position) => {
      const start = position * this.rowBytes;
      const crc = crc32(bytes.subarray(start, start + this.rowBytes));
      const entry = Buffer.alloc(INDEX_BYTES);
      entry.write(sha256, 'hex');
      entry[32] = mirrored ? 1 : 0;
      entry.writeUInt32LE(crc, 36);
      this.index.push(entry);
      return { handle: this.handle, offset: first + start, crc };
    });
  }

  /** Makes it a segment. @returns its path, or null where it has no rows, or another worker took it for one left behind. */
  async seal(): Promise<string | null> {
    if (this.sizeBytes === 0) {
      await this.discard();
      return null;
    }
    const index = Buffer.concat(this.index);
    const footer = Buffer.alloc(FOOTER_BYTES);
    [MAGIC, this.rowBytes, this.index.length, crc32(index)].forEach((value, i) =>
      footer.writeUInt32LE(value, i * 4),
    );
    await writeAll(this.handle, Buffer.concat([index, footer]), this.sizeBytes);
    const sealed = join(dirname(this.path), basename(this.path).replace('.part', '.features'));
    try {
      await rename(this.path, sealed);
      return sealed;
    } catch (error) {
      if (!isMissing(error)) throw error;
      return null;
    }
  }

  /** Removes the file of a segment that will not be sealed. */
  async discard(): Promise<void> {
    await rm(this.path, { force: true });
  }
}

/** Reads part of a file or an object. @returns fewer bytes where it ends before. */
export type ReadRange = (offset: number, length: number) => Promise<Buffer>;

/**
 * Reads where a segment has which pictures.
 * @returns null where it is damaged, cut short, or of other rows.
 */
export async function readIndex(
  read: ReadRange,
  sizeBytes: number,
  rowBytes: number,
): Promise<Map<string, Omit<Row, 'handle'>> | null> {
  if (sizeBytes < FOOTER_BYTES) return null;
  const footer = await read(sizeBytes - FOOTER_BYTES, FOOTER_BYTES);
  if (footer.length !== FOOTER_BYTES || footer.readUInt32LE(0) !== MAGIC) return null;
  const count = footer.readUInt32LE(8);
  const indexAt = count * rowBytes;
  if (footer.readUInt32LE(4) !== rowBytes) return null;
  if (indexAt + count * INDEX_BYTES + FOOTER_BYTES !== sizeBytes) return null;
  const index = await read(indexAt, count * INDEX_BYTES);
  if (index.length !== count * INDEX_BYTES || crc32(index) !== footer.readUInt32LE(12)) return null;
  const rows = new Map<string, Omit<Row, 'handle'>>();
  for (let i = 0; i < count; i++) {
    const at = i * INDEX_BYTES;
    const id = { sha256: index.toString('hex', at, at + 32), mirrored: index[at + 32] === 1 };
    rows.set(keyOf(id), { offset: i * rowBytes, crc: index.readUInt32LE(at + 36) });
  }
  return rows;
}

/** Reads one row into `target`. @returns false where it is not what was written. */
export async function readRow({ handle, offset, crc }: Row, target: Uint8Array): Promise<boolean> {
  const { bytesRead } = await handle.read(target, 0, target.length, offset);
  return bytesRead === target.length && crc32(target) === crc;
}

export function readerOf(handle: FileHandle): ReadRange {
  return async (offset, length) => {
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await handle.read(buffer, 0, length, offset);
    return buffer.subarray(0, bytesRead);
  };
}

export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.length)
    written += (await handle.write(bytes, written, bytes.length - written, position + written)).bytesWritten;
}
