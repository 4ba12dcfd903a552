import { createHash } from 'node:crypto';
import { appendFile, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { DatasetLimits } from '../limits.js';
import { DECODING } from '../pictures/decode.js';
import { PICTURE_FORMATS, type PictureFormat } from '../pictures/format.js';

/** SHA-256 (32), place of the format in PICTURE_FORMATS (1), zeros (3), CRC-32 of these 36 bytes (4). */
const RECORD_BYTES = 40;
/** A file is put aside when it has more; what is in use moves to the next one, and what is put aside twice is gone. */
const MAX_RECORDS = 100_000;

/** Pictures that were decoded before, whole, by the same decoder and within the same limits: once is enough. */
export interface KnownPictures {
  isEmpty: boolean;
  formatOf(sha256: string): PictureFormat | undefined;
  add(sha256: string, format: PictureFormat): void;
  /** Keeps what was added. */
  save(): Promise<void>;
}

/** @param directory what is known is kept there; workers may share it. */
export async function openKnownPictures(directory: string, limits: DatasetLimits): Promise<KnownPictures> {
  const { pictureBytes, picturePixels, pictureSidePx, decodeSeconds, decodeMemoryBytes } = limits;
  const conditions = [DECODING, pictureBytes, picturePixels, pictureSidePx, decodeSeconds, decodeMemoryBytes];
  const name = createHash('sha256').update(JSON.stringify(conditions)).digest('hex');
  const file = join(directory, name);
  const aside = `${file}.old`;
  const current = await readRecords(file);
  const old = await readRecords(aside);
  const added = new Map<string, PictureFormat>();
  return {
    isEmpty: current.size + old.size === 0,
    formatOf(sha256) {
      const format = current.get(sha256) ?? old.get(sha256);
      if (format && !current.has(sha256)) added.set(sha256, format);
      return format;
    },
    add(sha256, format) {
      if (!current.has(sha256)) added.set(sha256, format);
    },
    async save() {
      if (added.size === 0) return;
      await mkdir(directory, { recursive: true });
      if (current.size + added.size > MAX_RECORDS) await rename(file, aside).catch(() => undefined);
      // In one piece: others append to it too.
      await appendFile(file, Buffer.concat([...added].map(toRecord)));
    },
  };
}

/** Nothing where there is no file; one that is damaged is removed, as what comes behind could not be told from it. */
async function readRecords(file: string): Promise<Map<string, PictureFormat>> {
  const bytes = await readFile(file).catch(() => Buffer.alloc(0));
  const records = new Map<string, PictureFormat>();
  for (let at = 0; at < bytes.length; at += RECORD_BYTES) {
    const record = bytes.subarray(at, at + RECORD_BYTES);
    const format = PICTURE_FORMATS[record[32] ?? -1];
    if (
      record.length < RECORD_BYTES ||
      format === undefined ||
      crc32(record.subarray(0, 36)) !== record.readUInt32LE(36)
    ) {
      await rm(file, { force: true });
      return new Map();
    }
    records.set(record.toString('hex', 0, 32), format);
  }
  return records;
}

function toRecord([sha256, format]: [string, PictureFormat]): Buffer {
  const record = Buffer.alloc(RECORD_BYTES);
  record.write(sha256, 'hex');
  record[32] = PICTURE_FORMATS.indexOf(format);
  record.writeUInt32LE(crc32(record.subarray(0, 36)), 36);
  return record;
}
