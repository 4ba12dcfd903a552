import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp, { type Sharp } from 'sharp';

/** A picture of colours that run into each other, edges and a little noise, drawn from its sides alone. */
function drawn(width: number, height: number): Sharp {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0, y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const inside = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (height / 3) ** 2 ? 90 : 0;
      const stripe = (x + 2 * y) % 13 < 4 ? 40 : 0;
      const noise = (x * 31 + y * 17 + x * y * 7) % 23;
      data[i++] = (x / width) * 120 + inside + noise;
      data[i++] = (y / height) * 150 + stripe + noise;
      data[i++] = 140 - (x / width) * 90 - inside / 2 + stripe + noise;
    }
  }
  return sharp(data, { raw: { width, height, channels: 3 } });
}

/** By file name; every kind that Keras reads, and of sizes that no resize divides evenly. */
const PICTURES: Record<string, () => Sharp> = {
  'gif.gif': () => drawn(29, 43).gif(),
  'gray.jpg': () => drawn(53, 37).greyscale().jpeg(),
  'gray.png': () => drawn(31, 21).greyscale().png(),
  'interlaced.png': () => drawn(33, 27).png({ progressive: true }),
  'jpeg-420.jpg': () => drawn(101, 67).jpeg({ quality: 90, chromaSubsampling: '4:2:0' }),
  'jpeg-444.jpg': () => drawn(67, 101).jpeg({ quality: 95, chromaSubsampling: '4:4:4' }),
  'orientation.jpg': () => drawn(59, 41).withMetadata({ orientation: 6 }).jpeg(),
  'palette.png': () => drawn(47, 35).png({ palette: true, colours: 32 }),
  'progressive.jpg': () => drawn(83, 49).jpeg({ progressive: true, quality: 80 }),
  'rgb.png': () => drawn(41, 29).png(),
  'rgba.png': () => drawn(23, 37).ensureAlpha(0.3).png(),
  'sixteen-bit.png': () => drawn(19, 25).toColourspace('rgb16').png(),
  'tiny.png': () => drawn(3, 2).png(),
};

export async function drawPictures(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  for (const [name, draw] of Object.entries(PICTURES))
    await writeFile(join(folder, name), await draw().toBuffer());
}
