import { applyTransform, augmentPicture, drawTransform, type Transform } from '@headstart/dataset';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const NOTHING = { flip: false, shift: 0, zoom: 0, rotation: 0, brightness: 0 };
const EVERYTHING = { flip: true, shift: 0.2, zoom: 0.3, rotation: 40, brightness: 0.5 };
const STILL: Transform = { flip: false, shiftX: 0, shiftY: 0, zoom: 1, rotation: 0, brightness: 1 };
const SEED = { seed: 1, epoch: 2, index: 3 };

/** A picture in which every value is its own. */
function picture(size: number): Float32Array {
  return Float32Array.from({ length: size * size * 3 }, (_, i) => (i * 37.25) % 255);
}

/** Red values, row by row, of a picture whose other channels are zero. */
function gray(rows: number[][]): Float32Array {
  return Float32Array.from(rows.flat().flatMap((value) => [value, value, value]));
}

describe('augmentPicture', () => {
  it.each([1, 2, 7, 32, 224])('changes nothing where nothing is asked for, at %i pixels', (size) => {
    const input = picture(size);
    const out = augmentPicture(input, size, NOTHING, SEED);
    expect(out).not.toBe(input);
    expect(out).toEqual(input);
  });

  it('gives the same picture for the same seed, epoch and index, and leaves its input alone', () => {
    const input = picture(16);
    const before = input.slice();
    const first = augmentPicture(input, 16, EVERYTHING, SEED);
    expect(augmentPicture(input, 16, EVERYTHING, SEED)).toEqual(first);
    expect(input).toEqual(before);
    for (const other of [
      { ...SEED, seed: 2 },
      { ...SEED, epoch: 3 },
      { ...SEED, index: 4 },
    ])
      expect(augmentPicture(input, 16, EVERYTHING, other)).not.toEqual(first);
  });

  it('draws within the settings, and uses all of their range', () => {
    const drawn = Array.from({ length: 2000 }, (_, index) =>
      drawTransform(EVERYTHING, 100, { seed: 0, epoch: 0, index }),
    );
    const range = (pick: (t: Transform) => number) => {
      const values = drawn.map(pick);
      return [Math.min(...values), Math.max(...values)] as const;
    };
    const expected = [
      [range((t) => t.shiftX), -20, 20],
      [range((t) => t.shiftY), -20, 20],
      [range((t) => t.zoom), 0.7, 1.3],
      [range((t) => (t.rotation * 180) / Math.PI), -40, 40],
      [range((t) => t.brightness), 0.5, 1.5],
    ] as const;
    for (const [[least, most], from, to] of expected) {
      const slack = (to - from) * 0.01;
      expect(least).toBeGreaterThanOrEqual(from);
      expect(least).toBeLessThan(from + slack);
      expect(most).toBeLessThanOrEqual(to);
      expect(most).toBeGreaterThan(to - slack);
    }
    // 2000 fair coins: 900 to 1100 is 4.5 standard deviations either way.
    const flips = drawn.filter((t) => t.flip).length;
    expect(flips).toBeGreaterThan(900);
    expect(flips).toBeLessThan(1100);
  });

  it('draws each kind for itself: turning one on does not change another', () => {
    const alone = drawTransform({ ...NOTHING, rotation: 40 }, 100, SEED);
    // Adding 0 makes a zero of a negative zero.
    const positive = { ...alone, shiftX: alone.shiftX + 0, shiftY: alone.shiftY + 0 };
    expect(positive).toEqual({ ...STILL, rotation: drawTransform(EVERYTHING, 100, SEED).rotation });
  });

  it('stays within 0 to 255 under any settings', () => {
    const settings = fc.record({
      flip: fc.boolean(),
      shift: fc.double({ min: 0, max: 0.5, noNaN: true }),
      zoom: fc.double({ min: 0, max: 0.9, noNaN: true }),
      rotation: fc.double({ min: 0, max: 180, noNaN: true }),
      brightness: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(settings, fc.nat(), fc.integer({ min: 1, max: 9 }), (augmentation, index, size) => {
        const out = augmentPicture(picture(size), size, augmentation, { seed: 0, epoch: 1, index });
        expect(out.every((value) => value >= 0 && value <= 255)).toBe(true);
      }),
    );
  });
});

describe('applyTransform', () => {
  const numbers = [
    [1, 2, 3],
    [4, 5, 6],
    [7, 8, 9],
  ];
  it.each<{ name: string; change: Partial<Transform>; rows: number[][] }>([
    {
      name: 'mirrors left to right exactly',
      change: { flip: true },
      rows: [
        [3, 2, 1],
        [6, 5, 4],
        [9, 8, 7],
      ],
    },
    {
      name: 'shifts right, and repeats the edge',
      change: { shiftX: 1 },
      rows: [
        [1, 1, 2],
        [4, 4, 5],
        [7, 7, 8],
      ],
    },
    {
      name: 'shifts up, and repeats the edge',
      change: { shiftY: -1 },
      rows: [
        [4, 5, 6],
        [7, 8, 9],
        [7, 8, 9],
      ],
    },
    {
      name: 'shifts by half a pixel bilinearly',
      change: { shiftX: 0.5 },
      rows: [
        [1, 1.5, 2.5],
        [4, 4.5, 5.5],
        [7, 7.5, 8.5],
      ],
    },
    {
      name: 'zooms in about the centre',
      change: { zoom: 2 },
      rows: [
        [3, 3.5, 4],
        [4.5, 5, 5.5],
        [6, 6.5, 7],
      ],
    },
    { name: 'zooms out, and repeats the edge', change: { zoom: 0.5 }, rows: numbers },
    {
      name: 'rotates clockwise',
      change: { rotation: Math.PI / 2 },
      rows: [
        [7, 4, 1],
        [8, 5, 2],
        [9, 6, 3],
      ],
    },
    {
      name: 'brightens',
      change: { brightness: 1.5 },
      rows: [
        [1.5, 3, 4.5],
        [6, 7.5, 9],
        [10.5, 12, 13.5],
      ],
    },
  ])('$name', ({ change, rows }) => {
    const out = applyTransform(gray(numbers), 3, { ...STILL, ...change });
    gray(rows).forEach((value, i) => expect(out[i]).toBeCloseTo(value, 5));
  });

  it('mirrors even sizes exactly too, and twice is nothing', () => {
    const input = picture(8);
    const once = applyTransform(input, 8, { ...STILL, flip: true });
    expect(Array.from(once.slice(0, 3))).toEqual(Array.from(input.slice(21, 24)));
    expect(applyTransform(once, 8, { ...STILL, flip: true })).toEqual(input);
  });

  it('cuts brightness off at 255', () => {
    expect(applyTransform(gray([[200]]), 1, { ...STILL, brightness: 2 })).toEqual(gray([[255]]));
  });
});
