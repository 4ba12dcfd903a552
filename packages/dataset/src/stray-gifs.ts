import type { Refusal } from './sources/source.js';
import type { VerifiedFile } from './verify/verify.js';

/**
 * Takes the stray GIFs out of one class: those in a class that is mostly of other formats.
 *
 * A GIF decodes well, and Keras reads it, so nothing about the file itself is wrong. But it holds at most 256 colours and
 * is the format of web graphics: among photographs it is the "image not found" placeholder or the icon that a crawler
 * saved in a photograph's place, and it would teach the network that picture as the class. In a class where GIF is the
 * usual format, GIFs are pictures like any other.
 */
export function refuseStrayGifs<T extends VerifiedFile>(
  files: readonly T[],
): { kept: T[]; refused: Refusal[] } {
  const gifs = files.filter(({ format }) => format === 'gif');
  const others = files.length - gifs.length;
  if (gifs.length >= others) return { kept: [...files], refused: [] };
  const reason = `it is a GIF in a class of ${others} pictures of other formats, so probably a placeholder or an icon; convert it to PNG or JPEG if it belongs`;
  return {
    kept: files.filter(({ format }) => format !== 'gif'),
    refused: gifs.map(({ path }) => ({ path, reason })),
  };
}
