import sharp from 'sharp';
import type { PictureLimits } from '../limits.js';
import { sniffFormat, type PictureFormat } from './format.js';
import { readPicture } from './read.js';
import { resizeBilinear, type Pixels } from './resize.js';
import { UnusablePicture } from './unusable.js';

/**
 * Decodes a whole picture to 8-bit pixels at its full size; of an animation, the first frame.
 *
 * As TensorFlow's decoders do, which Keras calls: the EXIF orientation is not applied, the colour profile of an RGB or
 * gray picture is not applied, 16 bits a channel become 8. CMYK is brought to sRGB through its profile, or a common one
 * if it has none.
 * @throws UnusablePicture for other formats, pictures beyond the limits, and files that are damaged or cut short.
 */
export async function decodePixels(
  bytes: Buffer,
  { picturePixels, pictureSidePx }: PictureLimits,
): Promise<Pixels & { format: PictureFormat }> {
  const sniffed = sniffFormat(bytes);
  if ('reason' in sniffed) throw new UnusablePicture(sniffed.reason);
  try {
    const options = { failOn: 'error', limitInputPixels: picturePixels } as const;
    const { width, height, space } = await sharp(bytes, options).metadata();
    if (Math.max(width, height) > pictureSidePx)
      throw new UnusablePicture(`it is ${width}x${height}; at most ${pictureSidePx} pixels a side are read`);
    const { data, info } = await sharp(bytes, { ...options, ignoreIcc: space !== 'cmyk' })
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { data, width: info.width, height: info.height, channels: info.channels, format: sniffed.format };
  } catch (error) {
    if (error instanceof UnusablePicture) throw error;
    const cause = error instanceof Error ? error.message.split('\n')[0] : String(error);
    const reason = /exceeds pixel limit/.test(cause ?? '')
      ? `it has more than ${picturePixels / 1e6} megapixels`
      : `its ${sniffed.format.toUpperCase()} data is damaged or cut short (${cause})`;
    throw new UnusablePicture(reason, { cause: error });
  }
}

/**
 * Names how a file becomes an input: what is made of its pixels is kept under it. To be counted up with every change of
 * `decodePicture`'s results.
 */
export const DECODING = `1, libvips ${sharp.versions.vips}`;

/**
 * Reads a picture as Keras's `image_dataset_from_directory` does.
 *
 * @param file absolute path of a picture on this machine, without links.
 * @param size pixels a side of the result.
 * @returns RGB [size, size, 3] float32, 0..255, resized bilinearly and not rounded.
 * @throws UnusablePicture if it cannot be decoded, which a verified picture can.
 */
export async function decodePicture(
  file: string,
  size: number,
  limits: PictureLimits,
): Promise<Float32Array> {
  // Read here, not by libvips: it caches files by their path, and a path may hold another picture later.
  return resizeBilinear(await decodePixels(await readPicture(file, limits), limits), size);
}
