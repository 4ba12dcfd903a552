import { tooLargeReason } from '../archives/unpacker.js';
import { inPlace } from '../in-place.js';
import type { PictureLimits } from '../limits.js';
import { UnusablePicture } from './unusable.js';

/**
 * Reads a file that was found before.
 * @param file absolute path without links.
 * @throws UnusablePicture where it is too large; Error where it cannot be read, see `inPlace`.
 */
export async function readPicture(file: string, limits: PictureLimits): Promise<Buffer> {
  return inPlace(file, async ({ handle }) => {
    const { size } = await handle.stat();
    if (size > limits.pictureBytes) throw new UnusablePicture(tooLargeReason(size, limits));
    return handle.readFile();
  });
}
