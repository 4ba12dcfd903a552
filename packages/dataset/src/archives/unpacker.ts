import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@headstart/contracts';
import { type DatasetLimits, EXPANSION_FLOOR_BYTES, NAME_LENGTH, type PictureLimits } from '../limits.js';
import { ignoredPlace, tidyName, unsafeNameReason } from '../paths.js';

export interface UnpackedFile {
  /** Path inside the archive. */
  path: string;
  /** Absolute path on this machine. */
  file: string;
}

export interface Unpacked {
  files: UnpackedFile[];
  /** Every folder, empty ones too. */
  folders: Set<string>;
  refused: { path: string; reason: string }[];
  /** Files passed over, by the ignored place they lie in. */
  ignored: Map<string, number>;
}

/**
 * Takes the entries of an archive, of whichever kind, and holds them to the limits.
 *
 * Files are stored under running numbers: no name from an archive ever becomes a path on this machine. Names are
 * checked all the same, as an archive that tries to get out is not one to train on.
 */
export interface Unpacker {
  /**
   * Checks an entry's name and kind, before any of its bytes.
   * @returns its path if it is a file to be stored, null if it is a folder or of no interest.
   * @throws AppError('archive_unsafe') naming the entry.
   */
  admit(name: string, kind: 'file' | 'folder' | { other: string }): string | null;
  /** Refuses too many entries where their number is known beforehand. @throws AppError('archive_unsafe') */
  checkEntryCount(entries: number): void;
  /** Counts the packed bytes that entries claim of the archive. @throws AppError('archive_unsafe') beyond its size. */
  countPacked(bytes: number): void;
  /** Counts expanded bytes as they come. @throws AppError('archive_unsafe') beyond the limits. */
  countExpanded(bytes: number): void;
  /** Stores one file; the bytes of one too large for a picture are read on, and not kept. */
  store(path: string, bytes: AsyncIterable<Buffer>): Promise<void>;
  result: Unpacked;
}

export async function createUnpacker(
  directory: string,
  archiveBytes: number,
  limits: DatasetLimits,
): Promise<Unpacker> {
  await mkdir(directory, { recursive: true });
  const result: Unpacked = { files: [], folders: new Set(), refused: [], ignored: new Map() };
  const seen = new Set<string>();
  let entries = 0;
  let expandedBytes = 0;
  let packedBytes = 0;
  const ratioBytes = Math.max(archiveBytes * limits.expansionRatio, EXPANSION_FLOOR_BYTES);
  const checkEntryCount = (count: number) => {
    if (count > limits.archiveEntries)
      throw unsafe(`it has more than ${limits.archiveEntries} entries`, { limit: limits.archiveEntries });
  };

  return {
    result,
    checkEntryCount,
    admit(name, kind) {
      checkEntryCount(++entries);
      const reason = unsafeNameReason(name) ?? (typeof kind === 'object' ? `it is ${kind.other}` : null);
      if (reason) throw unsafeEntry(name, reason);
      const path = tidyName(name);
      if (path === '') return null;
      const ignored = ignoredPlace(path);
      if (ignored !== null) {
        if (kind === 'file') countFile(result.ignored, ignored);
        return null;
      }
      addFolders(result.folders, kind === 'folder' ? path : parentOf(path));
      if (kind === 'folder') return null;
      if (seen.has(path)) throw unsafeEntry(name, 'it is there twice');
      seen.add(path);
      return path;
    },
    countPacked(bytes) {
      packedBytes += bytes;
      if (packedBytes > archiveBytes)
        throw unsafe(
          `its entries claim more than its ${archiveBytes} bytes, so they overlap or lie, as those of a decompression bomb do`,
          { archiveBytes },
        );
    },
    countExpanded(bytes) {
      expandedBytes += bytes;
      if (expandedBytes > limits.expandedBytes)
        throw unsafe(`it expands to more than ${limits.expandedBytes} bytes`, {
          limit: limits.expandedBytes,
        });
      if (expandedBytes > ratioBytes)
        throw unsafe(
          `its ${archiveBytes} bytes expand to more than ${limits.expansionRatio} times as many, as those of a decompression bomb do`,
          { limit: limits.expansionRatio, archiveBytes },
        );
    },
    async store(path, bytes) {
      const file = join(directory, String(seen.size).padStart(6, '0'));
      const sizeBytes = await writeUpTo(limits.pictureBytes, file, bytes);
      if (sizeBytes > limits.pictureBytes)
        result.refused.push({ path, reason: tooLargeReason(sizeBytes, limits) });
      else result.files.push({ path, file });
    },
  };
}

export function tooLargeReason(sizeBytes: number, { pictureBytes }: PictureLimits): string {
  return `it has ${sizeBytes} bytes; a picture may have at most ${pictureBytes}`;
}

/** Counts one more file at an ignored place. */
export function countFile(ignored: Map<string, number>, place: string): void {
  ignored.set(place, (ignored.get(place) ?? 0) + 1);
}

/** Writes a stream to a file; a longer one is read to its end and the file removed. @returns the bytes that came. */
export async function writeUpTo(
  maxBytes: number,
  file: string,
  bytes: AsyncIterable<Buffer>,
): Promise<number> {
  let sizeBytes = 0;
  const handle = await open(file, 'wx');
  try {
    for await (const chunk of bytes) {
      sizeBytes += chunk.length;
      if (sizeBytes <= maxBytes) await handle.writeFile(chunk);
    }
  } finally {
    await handle.close();
  }
  if (sizeBytes > maxBytes) await rm(file);
  return sizeBytes;
}

function addFolders(folders: Set<string>, path: string): void {
  for (let folder = path; folder !== '' && !folders.has(folder); folder = parentOf(folder))
    folders.add(folder);
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0));
}

function unsafeEntry(name: string, reason: string): AppError {
  const entry = name.length > NAME_LENGTH ? `${name.slice(0, NAME_LENGTH)}...` : name;
  return unsafe(`its entry ${JSON.stringify(entry)} is refused, because ${reason}`, { entry, reason });
}

function unsafe(what: string, details: Record<string, unknown>): AppError {
  return new AppError(
    'archive_unsafe',
    `The archive was not unpacked: ${what}. Pack plain files with relative names only, and post the job again.`,
    { details },
  );
}
