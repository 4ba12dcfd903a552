import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { tooLargeReason } from './archives/unpacker.js';
import { mapConcurrently } from './concurrency.js';
import { DECODE_CONCURRENCY, LIMITS } from './limits.js';
import { decodePixels, UnusablePicture } from './pictures/decode.js';
import type { PictureFormat } from './pictures/format.js';
import type { LocalFile, OnProgress, Refusal } from './sources/source.js';

export interface VerifiedFile extends LocalFile {
  sha256: string;
  format: PictureFormat;
}

/** Decodes every file once, whole; those that are no usable picture are refused with a reason, which is no error. */
export async function verifyFiles<T extends LocalFile>(
  files: readonly T[],
  { signal, onProgress }: { signal: AbortSignal; onProgress: OnProgress },
): Promise<{ verified: (T & VerifiedFile)[]; refused: Refusal[] }> {
  const refused: Refusal[] = [];
  let done = 0;
  const report = () => onProgress({ done, total: files.length, unit: 'pictures' });
  report();
  const results = await mapConcurrently(files, { concurrency: DECODE_CONCURRENCY, signal }, async (file) => {
    try {
      return { ...file, ...(await verifyFile(file.file)) };
    } catch (error) {
      if (!(error instanceof UnusablePicture)) throw error;
      refused.push({ path: file.path, reason: error.message });
      return null;
    } finally {
      done++;
      report();
    }
  });
  return { verified: results.filter((result) => result !== null), refused };
}

async function verifyFile(file: string): Promise<{ sha256: string; format: PictureFormat }> {
  const { size } = await stat(file);
  if (size > LIMITS.pictureBytes) throw new UnusablePicture(tooLargeReason(size));
  const bytes = await readFile(file);
  const { format } = await decodePixels(bytes);
  return { sha256: createHash('sha256').update(bytes).digest('hex'), format };
}

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
