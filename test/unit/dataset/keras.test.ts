import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodePicture, decodePixels } from '@headstart/dataset';
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../support/dataset.js';
import { documentedDifference, KERAS_FIXTURES, readFixture } from '../../support/keras.js';
import { ANTS_BEES } from '../../support/shared.js';

interface RecordedPicture {
  /** Pixels a side. */
  size: number;
  /** Base64 of RGB [size, size, 3] float32. */
  values: string;
  /** SHA-256 of a JPEG's pixels as the accurate inverse DCT has them; null for other formats. */
  accurate: string | null;
}

const pathOf = (name: string) => fileURLToPath(new URL(`pictures/${name}`, KERAS_FIXTURES));

/** Largest and mean absolute difference. */
function difference(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
): { largest: number; mean: number } {
  expect(actual).toHaveLength(expected.length);
  const differences = Array.from(actual, (value, i) => Math.abs(value - expected[i]!));
  return {
    largest: Math.max(...differences),
    mean: differences.reduce((a, b) => a + b) / differences.length,
  };
}

describe("pictures beside Keras's image_dataset_from_directory", () => {
  const recorded = Object.entries(readFixture<Record<string, RecordedPicture>>('decoding.json'));
  const compare = async (name: string, { size, values }: RecordedPicture) => {
    const bytes = new Uint8Array(Buffer.from(values, 'base64'));
    return difference(await decodePicture(pathOf(name), size, LIMITS), new Float32Array(bytes.buffer));
  };

  it.each(recorded.filter(([name]) => !name.endsWith('.jpg')))('%s: the same', async (name, expected) => {
    const { largest } = await compare(name, expected);
    expect(largest).toBeLessThanOrEqual(documentedDifference('Drawn PNG and GIF pictures, resized'));
  });

  it.each(recorded.filter(([name]) => name.endsWith('.jpg')))(
    "%s: but for TensorFlow's faster and rougher inverse DCT",
    async (name, expected) => {
      const { largest, mean } = await compare(name, expected);
      expect(largest).toBeLessThanOrEqual(documentedDifference('Drawn JPEG pictures, resized: largest'));
      expect(mean).toBeLessThanOrEqual(documentedDifference('Drawn JPEG pictures, resized: mean'));
    },
  );

  it.each(recorded.filter(([, { accurate }]) => accurate !== null))(
    '%s: every pixel as the accurate inverse DCT has it',
    async (name, { accurate }) => {
      const { data } = await decodePixels(await readFile(pathOf(name)), LIMITS);
      expect(createHash('sha256').update(data).digest('hex')).toBe(accurate);
    },
  );

  const photographs = Object.entries(readFixture<Record<string, number[]>>('photographs.json'));

  it.skipIf(!existsSync(ANTS_BEES)).each(photographs)('photograph %s', async (path, expected) => {
    const pixels = await decodePicture(join(ANTS_BEES, path), 224, LIMITS);
    const stride = Math.floor(pixels.length / expected.length);
    const { largest, mean } = difference(
      expected.map((_, i) => pixels[i * stride]!),
      expected,
    );
    expect(largest).toBeLessThanOrEqual(documentedDifference('Photographs (JPEG) at 224 pixels: largest'));
    expect(mean).toBeLessThanOrEqual(documentedDifference('Photographs (JPEG) at 224 pixels: mean'));
  });
});
