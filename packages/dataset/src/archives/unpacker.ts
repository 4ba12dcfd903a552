import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@headstart/contracts';
import { LIMITS } from '../limits.js';
import { isIgnoredPath, tidyName, unsafeNameReason } from '../paths.js';

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
  /** Counts expanded bytes as they come. @throws AppError('archive_unsafe') beyond the limits. */
  countExpanded(bytes: number): void;
  /** Stores one file; the bytes of one too large for a picture are read on, and not kept. */
  store(path: string, bytes: AsyncIterable<Buffer>): Promise<void>;
  result: Unpacked;
}

export async function createUnpacker(directory: string, archiveBytes: number): Promise<Unpacker> {
  await mkdir(directory, { recursive: true });
  const result: Unpacked = { files: [], folders: new Set(), refused: [] };
  const seen = new Set<string>();
  let entries = 0;
  let expandedBytes = 0;
  const ratioBytes = Math.max(archiveBytes * LIMITS.expansionRatio, LIMITS.expansionFloorBytes);

  return {
    result,
    admit(name, kind) {
      if (++entries > LIMITS.archiveEntries)
        throw unsafe(`it has more than ${LIMITS.archiveEntries} entries`, { limit: LIMITS.archiveEntries });
      const reason = unsafeNameReason(name) ?? (typeof kind === 'object' ? `it is ${kind.other}` : null);
      if (reason) throw unsafeEntry(name, reason);
      const path = tidyName(name);
      if (path === '' || isIgnoredPath(path)) return null;
      addFolders(result.folders, kind === 'folder' ? path : parentOf(path));
      if (kind === 'folder') return null;
      if (seen.has(path)) throw unsafeEntry(name, 'it is there twice');
      seen.add(path);
      return path;
    },
    countExpanded(bytes) {
      expandedBytes += bytes;
      if (expandedBytes > LIMITS.expandedBytes)
        throw unsafe(`it expands to more than ${LIMITS.expandedBytes} bytes`, {
          limit: LIMITS.expandedBytes,
        });
      if (expandedBytes > ratioBytes)
        throw unsafe(
          `its ${archiveBytes} bytes expand to more than ${LIMITS.expansionRatio} times as many, as those of a decompression bomb do`,
          { limit: LIMITS.expansionRatio, archiveBytes },
        );
    },
    async store(path, bytes) {
      const file = join(directory, String(seen.size).padStart(6, '0'));
      const sizeBytes = await writeUpTo(LIMITS.pictureBytes, file, bytes);
      if (sizeBytes > LIMITS.pictureBytes) result.refused.push({ path, reason: tooLargeReason(sizeBytes) });
      else result.files.push({ path, file });
    },
  };
}

export function tooLargeReason(sizeBytes: number): string {
  return `it has ${sizeBytes} bytes; a picture may have at most ${LIMITS.pictureBytes}`;
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
  return unsafe(`its entry ${JSON.stringify(name)} is refused, because ${reason}`, { entry: name, reason });
}

function unsafe(what: string, details: Record<string, unknown>): AppError {
  return new AppError(
    'archive_unsafe',
    `The archive was not unpacked: ${what}. Pack plain files with relative names only, and post the job again.`,
    { details },
  );
}
