import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import sharp, { type Sharp } from 'sharp';

export interface Colour {
  r: number;
  g: number;
  b: number;
}

/** A picture of one colour, to be encoded as the test needs it. */
export function plainPicture({ r, g, b }: Colour, width = 32, height = 24): Sharp {
  return sharp({ create: { width, height, channels: 3, background: { r, g, b } } });
}

/** Bytes of a small PNG that differs from every other `index`. */
export function pngOf(index: number): Promise<Buffer> {
  return plainPicture({ r: index % 256, g: (index * 7) % 256, b: index >> 8 })
    .png()
    .toBuffer();
}

/** Noise, which makes a JPEG long enough to be cut in the middle of its data. */
export function noisyJpeg(): Promise<Buffer> {
  const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
  return sharp({ create: { width: 160, height: 120, channels: 3, background: 'red', noise } })
    .jpeg()
    .toBuffer();
}

/** Writes files below a folder, making the folders between. */
export async function writeTree(root: string, files: Record<string, Uint8Array | string>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
}

/** `count` PNGs named `folder/000.png` and on, no two alike for different `from`. */
export async function pngs(folder: string, count: number, from = 0): Promise<Record<string, Buffer>> {
  const files = Array.from(
    { length: count },
    async (_, i) => [`${folder}/${String(i).padStart(3, '0')}.png`, await pngOf(from + i)] as const,
  );
  return Object.fromEntries(await Promise.all(files));
}
