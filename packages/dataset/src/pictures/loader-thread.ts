import { parentPort, workerData } from 'node:worker_threads';
import sharp from 'sharp';
import { augmentPicture } from './augment.js';
import { decodePicture } from './decode.js';
import type { LoadAnswer, LoaderSettings, LoadRequest } from './loader.js';

/** A thread of `createPictureLoader`: one picture at a time. */
const { size, limits, augmentation, seed } = workerData as LoaderSettings;
// What comes twice comes in other buffers, which libvips's cache would not know.
sharp.cache(false);
let last: Promise<void> = Promise.resolve();

parentPort!.on('message', (request: LoadRequest) => {
  last = last.then(() => answer(request));
});

async function answer({ id, file, draw }: LoadRequest): Promise<void> {
  try {
    const plain = await decodePicture(file, size, limits);
    const rgb = draw && augmentation ? augmentPicture(plain, size, augmentation, { seed, ...draw }) : plain;
    parentPort!.postMessage({ id, rgb } satisfies LoadAnswer, [rgb.buffer as ArrayBuffer]);
  } catch (error) {
    parentPort!.postMessage({ id, error: String(error) } satisfies LoadAnswer);
  }
}
