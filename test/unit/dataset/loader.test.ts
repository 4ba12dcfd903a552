import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { augmentPicture, createPictureLoader, decodePicture } from '@headstart/dataset';
import { onTestFinished, expect, it } from 'vitest';
import { LIMITS } from '../../support/dataset.js';
import { noisyJpeg } from '../../support/pictures.js';
import { temporaryFolder } from '../../support/training.js';

const SIZE = 48;
const AUGMENTATION = { flip: true, shift: 0.2, zoom: 0.1, rotation: 20, brightness: 0.3 };

async function setUp() {
  const folder = await temporaryFolder();
  const files = ['a.jpg', 'b.jpg', 'c.jpg'].map((name) => join(folder, name));
  for (const file of files) await writeFile(file, await noisyJpeg());
  const loader = createPictureLoader({ size: SIZE, limits: LIMITS, augmentation: AUGMENTATION, seed: 5 });
  onTestFinished(() => loader.close());
  return { files, loader, folder };
}

it('gives what decoding and augmenting give, whichever thread has the picture', async () => {
  const { files, loader } = await setUp();
  const wanted = files.flatMap((file, index) => [
    { file, draw: null },
    ...[1, 2].map((epoch) => ({ file, draw: { epoch, index } })),
  ]);
  const loaded = await Promise.all(wanted.map(({ file, draw }) => loader.load(file, draw)));
  for (const [i, { file, draw }] of wanted.entries()) {
    const plain = await decodePicture(file, SIZE, LIMITS);
    expect(loaded[i]).toEqual(draw ? augmentPicture(plain, SIZE, AUGMENTATION, { seed: 5, ...draw }) : plain);
  }
});

it('says what is wrong with a file, and goes on with the others', async () => {
  const { files, loader, folder } = await setUp();
  const bad = join(folder, 'bad.jpg');
  await writeFile(bad, 'text');
  const results = await Promise.allSettled(
    [bad, ...files, join(folder, 'none.jpg')].map((f) => loader.load(f, null)),
  );
  expect(results.map(({ status }) => status)).toEqual([
    'rejected',
    ...files.map(() => 'fulfilled'),
    'rejected',
  ]);
  expect(String((results[0] as PromiseRejectedResult).reason)).toContain('it is text');
  expect(String((results.at(-1) as PromiseRejectedResult).reason)).toContain('ENOENT');
});

it('goes on while the main thread has no time', async () => {
  const { files, loader } = await setUp();
  // The threads have started, and the code is warm.
  await Promise.all(files.map((file) => loader.load(file, null)));
  const all = Array.from({ length: 20 }, (_, i) => loader.load(files[i % 3]!, { epoch: i, index: i }));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5000);
  const blockedUntil = performance.now();
  await Promise.all(all);
  // Twenty pictures take some hundred milliseconds on an idle machine, and their answers none.
  expect(performance.now() - blockedUntil).toBeLessThan(100);
});
