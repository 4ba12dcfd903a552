import { readdir, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing, isPartialName, isSegmentName } from './segment.js';

/** A segment takes half a minute; what has not been written to for so long was left behind by a process that is gone. */
const LEFT_BEHIND_MS = 60 * 60 * 1000;

interface Found {
  path: string;
  sizeBytes: number;
  usedAtMs: number;
}

/**
 * Removes segments, the least recently used first, until no more than `maxBytes` are left.
 *
 * Several processes may do so at once. A file that somebody has open stays readable to them, and its place is free when
 * they close it.
 */
export async function makeRoom(directory: string, maxBytes: number): Promise<void> {
  const segments: Found[] = [];
  for (const prefix of await namesIn(directory)) {
    const folder = join(directory, prefix);
    for (const name of await namesIn(folder)) {
      const path = join(folder, name);
      const stats = await stat(path).catch(() => null);
      if (!stats) continue;
      if (isSegmentName(name)) segments.push({ path, sizeBytes: stats.size, usedAtMs: stats.mtimeMs });
      else if (isPartialName(name) && Date.now() - stats.mtimeMs > LEFT_BEHIND_MS)
        await rm(path, { force: true });
    }
  }
  let sizeBytes = segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
  for (const segment of segments.sort((a, b) => a.usedAtMs - b.usedAtMs)) {
    if (sizeBytes <= maxBytes) return;
    await rm(segment.path, { force: true });
    sizeBytes -= segment.sizeBytes;
    // Only if nothing else is in it.
    await rmdir(join(segment.path, '..')).catch(() => undefined);
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isMissing(error) || (error as NodeJS.ErrnoException).code === 'ENOTDIR') return [];
    throw error;
  }
}
