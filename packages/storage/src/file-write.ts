import { randomUUID } from 'node:crypto';
import { link, mkdir, open, rename, rm } from 'node:fs/promises';
import { AppError, type WriteOptions } from '@headstart/contracts';
import type { SizedBody } from './body.js';
import { inFolder } from './file-open.js';

const TEMPORARY_NAME = /^\.headstart-[0-9a-f-]{36}\.tmp$/;

/** Where a file is, or is to be. */
export interface FilePlace {
  /** Without links; it need not exist. */
  folder: string;
  name: string;
}

function temporaryName(): string {
  return `.headstart-${randomUUID()}.tmp`;
}

/** True of a file that is being written, or was when its writer died: it is no object yet. */
export function isTemporaryName(name: string): boolean {
  return TEMPORARY_NAME.test(name);
}

/**
 * Writes a file so that a reader, or a crash at any moment, finds it whole or not at all.
 *
 * It is written beside its place, forced to the disk, and renamed; `link` instead of rename is what fails if it exists.
 * @returns false where `onlyIfAbsent` is set and the file exists.
 */
export async function writeAtomically(
  { folder, name }: FilePlace,
  body: SizedBody,
  options: WriteOptions,
): Promise<boolean> {
  await mkdir(folder, { recursive: true });
  return inFolder(folder, async ({ at, sync }) => {
    const temporary = at(temporaryName());
    try {
      await writeDurably(temporary, body, options.signal);
      if (options.onlyIfAbsent) {
        if (!(await linkIfAbsent(temporary, at(name)))) return false;
      } else await rename(temporary, at(name));
      await sync();
      return true;
    } finally {
      // Gone already after a rename; after a link it is the second name of the file.
      await rm(temporary, { force: true });
    }
  });
}

/**
 * Gives a file a second name, in place of what has that name. No file is ever written to in place, so both stay what
 * they are whatever becomes of the other.
 */
export async function linkAtomically(from: FilePlace, to: FilePlace): Promise<void> {
  await mkdir(to.folder, { recursive: true });
  await inFolder(from.folder, (source) =>
    inFolder(to.folder, async ({ at, sync }) => {
      const temporary = at(temporaryName());
      try {
        await link(source.at(from.name), temporary);
        await rename(temporary, at(to.name));
        await sync();
      } finally {
        // Still there where both are the same file already: then rename(2) does nothing.
        await rm(temporary, { force: true });
      }
    }),
  );
}

async function writeDurably(path: string, body: SizedBody, signal: AbortSignal | undefined): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    // A stream that is opened behind the abort is read, and closed, by nobody.
    signal?.throwIfAborted();
    await handle.writeFile(body.open(), { ...(signal && { signal }) });
    await handle.sync();
    const written = (await handle.stat()).size;
    if (written !== body.sizeBytes)
      throw new AppError(
        'storage_unavailable',
        `${written} bytes were written where ${body.sizeBytes} were to be: the source changed meanwhile. Try again.`,
      );
  } finally {
    await handle.close();
  }
}

async function linkIfAbsent(temporary: string, path: string): Promise<boolean> {
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
