import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { onTestFinished } from 'vitest';

const run = promisify(execFile);

/** Puts a small file system of its own in a folder's place, until the test ends. @returns why not, where that is not allowed. */
export async function mountSmallDisk(folder: string, sizeBytes: number): Promise<string | null> {
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'tmpfs', folder]);
  } catch {
    return 'no right to mount a small file system';
  }
  // Lazily: a library may still have open what it could not write.
  onTestFinished(async () => void (await run('umount', ['--lazy', folder])));
  return null;
}
