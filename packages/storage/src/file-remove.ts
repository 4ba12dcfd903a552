import { lstat, readdir, rmdir, unlink } from 'node:fs/promises';
import { isMissing } from './file-errors.js';
import { inSubfolder, type OpenFolder } from './file-open.js';

/**
 * Removes the entries of a folder whose names `isWanted`, with all that is below them. Of a link, the link; and never what lies behind
 * one that takes the place of a folder meanwhile, as `rm` with `recursive` may (CVE-2022-21658 is of that kind).
 */
export async function removeEntries(folder: OpenFolder, isWanted: (name: string) => boolean): Promise<void> {
  // As bytes: a name need not be UTF-8.
  for (const name of await readdir(folder.at(), { encoding: 'buffer' })) {
    if (!isWanted(name.toString())) continue;
    try {
      await removeEntry(Buffer.concat([Buffer.from(folder.at()), name]));
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
}

async function removeEntry(path: Buffer): Promise<void> {
  if (!(await lstat(path)).isDirectory()) return unlink(path);
  await inSubfolder(path, (folder) => removeEntries(folder, () => true));
  await rmdir(path);
}
