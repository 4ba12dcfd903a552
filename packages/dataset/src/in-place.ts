import { constants } from 'node:fs';
import { type FileHandle, open, readlink, realpath } from 'node:fs/promises';

export interface FileInPlace {
  handle: FileHandle;
  /** Opens the same file again, for as long as the handle is open; on Linux whatever its own path leads to by now. */
  path: string;
}

/**
 * Opens a file that was found before, where it was found. Whoever may put links into a data set's folder may do so as long as the job runs:
 * of a file that one on the path leads to, nothing is read.
 * @param file absolute path without links.
 * @throws Error where it lies elsewhere by now, or cannot be opened, and what `work` throws.
 */
export async function inPlace<T>(file: string, work: (opened: FileInPlace) => Promise<T>): Promise<T> {
  // O_NONBLOCK: opening a pipe that nobody writes to would wait forever otherwise.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    // Linux knows where an open file lies, also one that another has replaced. Elsewhere it is where the path leads to by now.
    const isLinux = process.platform === 'linux';
    const through = `/proc/self/fd/${handle.fd}`;
    const place = isLinux ? await readlink(through) : await realpath(file);
    if (place !== file && place !== `${file} (deleted)`)
      throw new Error(`${file} is elsewhere now: a link has been put on its way since it was found`);
    return await work({ handle, path: isLinux ? through : file });
  } finally {
    await handle.close();
  }
}
