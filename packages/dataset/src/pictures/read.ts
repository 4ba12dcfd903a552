import { constants } from 'node:fs';
import { open, readlink, realpath } from 'node:fs/promises';
import { tooLargeReason } from '../archives/unpacker.js';
import type { PictureLimits } from '../limits.js';
import { UnusablePicture } from './unusable.js';

/**
 * Reads a file that was found before, where it was found. Whoever may put links into a data set's folder may do so as long as the job runs:
 * of a file that one on the path leads to, nothing is read.
 * @param file absolute path without links.
 * @throws UnusablePicture where it is too large; Error where it lies elsewhere by now, or cannot be read.
 */
export async function readPicture(file: string, limits: PictureLimits): Promise<Buffer> {
  // O_NONBLOCK: opening a pipe that nobody writes to would wait forever otherwise.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    // Linux knows where an open file lies, also one that another has replaced. Elsewhere it is where the path leads to by now.
    const isLinux = process.platform === 'linux';
    const place = isLinux ? await readlink(`/proc/self/fd/${handle.fd}`) : await realpath(file);
    if (place !== file && place !== `${file} (deleted)`)
      throw new Error('a link has been put on its way since it was found');
    const { size } = await handle.stat();
    if (size > limits.pictureBytes) throw new UnusablePicture(tooLargeReason(size, limits));
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}
