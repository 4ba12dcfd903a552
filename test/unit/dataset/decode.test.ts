import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodePicture, decodePixels, UnusablePicture } from '@headstart/dataset';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LIMITS } from '../../support/dataset.js';
import { apng } from '../../support/hostile-pictures.js';
import { noisyJpeg, plainPicture } from '../../support/pictures.js';

const ORANGE = { r: 200, g: 100, b: 50 };

async function coloursOf(bytes: Buffer): Promise<number[]> {
  const { data, channels } = await decodePixels(bytes, LIMITS);
  return channels < 3 ? [data[0], data[0], data[0]].map(Number) : [...data.subarray(0, 3)];
}

function expectColour(actual: number[], { r, g, b }: typeof ORANGE, tolerance: number): void {
  [r, g, b].forEach((value, i) =>
    expect(Math.abs((actual[i] as number) - value)).toBeLessThanOrEqual(tolerance),
  );
}

describe('decodePixels', () => {
  it.each([
    { name: 'PNG', encode: () => plainPicture(ORANGE).png(), tolerance: 0 },
    { name: 'GIF', encode: () => plainPicture(ORANGE).gif(), tolerance: 0 },
    { name: 'lossless WebP', encode: () => plainPicture(ORANGE).webp({ lossless: true }), tolerance: 0 },
    { name: 'JPEG', encode: () => plainPicture(ORANGE).jpeg({ quality: 100 }), tolerance: 2 },
    {
      name: 'progressive JPEG',
      encode: () => plainPicture(ORANGE).jpeg({ quality: 100, progressive: true }),
      tolerance: 2,
    },
    { name: 'palette PNG', encode: () => plainPicture(ORANGE).png({ palette: true }), tolerance: 0 },
    { name: 'interlaced PNG', encode: () => plainPicture(ORANGE).png({ progressive: true }), tolerance: 0 },
  ])('reads $name', async ({ encode, tolerance }) => {
    expectColour(await coloursOf(await encode().toBuffer()), ORANGE, tolerance);
  });

  it('brings a 16-bit PNG to 8 bits', async () => {
    const bytes = await plainPicture(ORANGE).toColourspace('rgb16').png().toBuffer();
    expect((await sharp(bytes).metadata()).depth).toBe('ushort');
    expectColour(await coloursOf(bytes), ORANGE, 0);
  });

  // Paper and ink hold fewer colours and less contrast than a screen, so a round trip moves all but white a little.
  it.each([
    { name: 'orange', colour: ORANGE, tolerance: 30 },
    { name: 'white', colour: { r: 255, g: 255, b: 255 }, tolerance: 1 },
    { name: 'gray', colour: { r: 128, g: 128, b: 128 }, tolerance: 20 },
  ])('brings a CMYK JPEG to sRGB, with and without a profile: $name', async ({ colour, tolerance }) => {
    const withProfile = await plainPicture(colour)
      .withIccProfile('cmyk')
      .toColourspace('cmyk')
      .jpeg({ quality: 100 })
      .toBuffer();
    const without = await plainPicture(colour).toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer();
    for (const bytes of [withProfile, without]) {
      expect((await sharp(bytes).metadata()).space).toBe('cmyk');
      expectColour(await coloursOf(bytes), colour, tolerance);
    }
  });

  it('reads gray of 8 and 16 bits', async () => {
    const colour = { r: 90, g: 90, b: 90 };
    expectColour(await coloursOf(await plainPicture(colour).greyscale().png().toBuffer()), colour, 0);
    expectColour(
      await coloursOf(await plainPicture(colour).toColourspace('grey16').png().toBuffer()),
      colour,
      1,
    );
  });

  it('applies neither the EXIF orientation nor an RGB profile, as TensorFlow does not', async () => {
    const sideways = await plainPicture(ORANGE, 30, 20).withMetadata({ orientation: 6 }).jpeg().toBuffer();
    expect((await sharp(sideways).metadata()).orientation).toBe(6);
    expect(await decodePixels(sideways, LIMITS)).toMatchObject({ width: 30, height: 20 });

    const wide = await plainPicture(ORANGE).withIccProfile('p3').png().toBuffer();
    const stored = await sharp(wide, { ignoreIcc: true }).raw().toBuffer();
    expect(stored[0]).not.toBe(ORANGE.r);
    expect(await coloursOf(wide)).toEqual([...stored.subarray(0, 3)]);
  });

  it.each(['gif', 'webp', 'apng'] as const)('takes the first frame of an animated %s', async (format) => {
    const colours = [ORANGE, { r: 0, g: 0, b: 255 }] as const;
    const frames = await Promise.all(colours.map((colour) => plainPicture(colour).png().toBuffer()));
    const animated =
      format === 'apng'
        ? await apng(...colours)
        : await sharp(frames, { join: { animated: true } })
            .toFormat(format, { lossless: true })
            .toBuffer();
    // libvips knows no frames of a PNG.
    if (format !== 'apng') expect((await sharp(animated).metadata()).pages).toBe(2);
    const { width, height } = await decodePixels(animated, LIMITS);
    expect({ width, height }).toEqual({ width: 32, height: 24 });
    expectColour(await coloursOf(animated), ORANGE, 0);
  });

  it.each(['jpeg', 'png', 'webp', 'gif'] as const)('refuses a truncated %s', async (format) => {
    const whole = await sharp(await noisyJpeg())
      [format]()
      .toBuffer();
    const cut = whole.subarray(0, Math.floor(whole.length * 0.6));
    await expect(decodePixels(cut, LIMITS)).rejects.toThrow(UnusablePicture);
    await expect(decodePixels(cut, LIMITS)).rejects.toThrow(
      `its ${format.toUpperCase()} data is damaged or cut short`,
    );
  });

  it('refuses a truncated progressive JPEG', async () => {
    const whole = await sharp(await noisyJpeg())
      .jpeg({ progressive: true })
      .toBuffer();
    await expect(decodePixels(whole.subarray(0, -100), LIMITS)).rejects.toThrow('damaged or cut short');
  });

  it.each([
    ['an empty file', Buffer.alloc(0), 'the file is empty'],
    ['text', Buffer.from('This is no picture.\n'), 'it is text'],
    ['SVG', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'), 'it is text'],
    ['BMP', Buffer.from('BM\x3a\0\0\0\0\0\0\0\x36\0\0\0'), 'it is a BMP picture'],
    ['TIFF', Buffer.from('II*\0\x08\0\0\0'), 'it is a TIFF picture'],
    ['HEIC', Buffer.from('\0\0\0\x18ftypheic\0\0\0\0'), 'it is an AVIF or HEIC picture'],
    ['a nested archive', Buffer.from('PK\x03\x04\x14\0\0\0'), 'it is an archive within the data set'],
    ['other bytes', Buffer.from([1, 2, 3, 4, 0, 0]), 'no picture format that is known'],
    ['a JPEG header alone', Buffer.from([0xff, 0xd8, 0xff, 0xe0]), 'damaged or cut short'],
  ])('refuses %s', async (_name, bytes, reason) => {
    await expect(decodePixels(bytes, LIMITS)).rejects.toThrow(reason);
  });

  it('refuses pictures beyond the limits', async () => {
    const long = await plainPicture(ORANGE, 10_241, 1).png().toBuffer();
    await expect(decodePixels(long, LIMITS)).rejects.toThrow(
      'it is 10241x1; at most 10240 pixels a side are read',
    );
    const large = await plainPicture(ORANGE, 8000, 6251).png().toBuffer();
    await expect(decodePixels(large, LIMITS)).rejects.toThrow('it has more than 50 megapixels');
  });
});

describe('decodePicture', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headstart-decode-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('gives RGB float32 of the size asked for, alpha left out', async () => {
    const file = join(folder, 'half.png');
    const background = { ...ORANGE, alpha: 0.5 };
    await sharp({ create: { width: 5, height: 9, channels: 4, background } })
      .png()
      .toFile(file);
    const rgb = await decodePicture(file, 4, LIMITS);
    expect(rgb).toBeInstanceOf(Float32Array);
    expect(Array.from(rgb)).toEqual(Array.from({ length: 16 }, () => [200, 100, 50]).flat());
  });

  it('reads a path anew each time', async () => {
    const file = join(folder, 'same.png');
    for (const colour of [ORANGE, { r: 1, g: 2, b: 3 }]) {
      await writeFile(file, await plainPicture(colour).png().toBuffer());
      expect(Array.from(await decodePicture(file, 1, LIMITS))).toEqual([colour.r, colour.g, colour.b]);
    }
  });

  it('reads nothing by way of a link that has been put on the path', async () => {
    const [own, other] = [join(folder, 'own'), join(folder, 'other')];
    for (const path of [own, other]) {
      await mkdir(path);
      await writeFile(join(path, 'a.png'), await plainPicture(ORANGE).png().toBuffer());
    }
    const file = join(own, 'a.png');
    expect(await decodePicture(file, 1, LIMITS)).toHaveLength(3);
    await rm(file);
    await symlink(join(other, 'a.png'), file);
    await expect(decodePicture(file, 1, LIMITS)).rejects.toThrow('a link has been put on its way');
    await rm(own, { recursive: true });
    await symlink(other, own);
    await expect(decodePicture(file, 1, LIMITS)).rejects.toThrow('a link has been put on its way');
  });
});
