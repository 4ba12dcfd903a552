import { resizeBilinear } from '@headstart/dataset';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

/** The red channel of a gray [1, width] or [height, 1] strip, resized. */
function row(values: number[], size: number): number[] {
  const out = resizeBilinear(
    { data: Uint8Array.from(values), width: values.length, height: 1, channels: 1 },
    size,
  );
  return Array.from({ length: size }, (_, x) => out[x * 3] as number);
}

function column(values: number[], size: number): number[] {
  const out = resizeBilinear(
    { data: Uint8Array.from(values), width: 1, height: values.length, channels: 1 },
    size,
  );
  return Array.from({ length: size }, (_, y) => out[y * size * 3] as number);
}

describe('resizeBilinear', () => {
  // Derived by hand from (i + 0.5) * in / out - 0.5, as half-pixel centers have it.
  it.each([
    { name: 'twice as large', values: [0, 100], size: 4, expected: [0, 25, 75, 100] },
    { name: 'three times as large', values: [0, 90], size: 6, expected: [0, 0, 30, 60, 90, 90] },
    { name: 'half as large: the mean of each pair', values: [0, 10, 20, 90], size: 2, expected: [5, 55] },
    {
      name: 'a quarter: only the middle two of four, not antialiased',
      values: [0, 10, 30, 200, 0, 10, 30, 200],
      size: 2,
      expected: [20, 20],
    },
    { name: 'a third: the middle one of three', values: [1, 2, 3, 40, 50, 60], size: 2, expected: [2, 50] },
  ])('$name', ({ values, size, expected }) => {
    // Positions are float32, as in TensorFlow: thirds are off by a few millionths.
    expected.forEach((value, i) => expect(row(values, size)[i]).toBeCloseTo(value, 4));
    expect(column(values, size)).toEqual(row(values, size));
  });

  it('blends across and down, channel by channel', () => {
    const data = Uint8Array.from([0, 0, 9, 40, 0, 9, 80, 200, 9, 120, 200, 9]);
    const out = resizeBilinear({ data, width: 2, height: 2, channels: 3 }, 4);
    const at = (x: number, y: number) => Array.from(out.slice((y * 4 + x) * 3, (y * 4 + x) * 3 + 3));
    expect(at(0, 0)).toEqual([0, 0, 9]);
    expect(at(1, 1)).toEqual([30, 50, 9]);
    expect(at(2, 1)).toEqual([50, 50, 9]);
    expect(at(3, 3)).toEqual([120, 200, 9]);
  });

  it('does not keep the aspect ratio', () => {
    const data = Uint8Array.from([0, 100, 0, 100, 0, 100, 0, 100]);
    const out = resizeBilinear({ data, width: 2, height: 4, channels: 1 }, 2);
    expect(Array.from(out)).toEqual([0, 0, 0, 100, 100, 100, 0, 0, 0, 100, 100, 100]);
  });

  it('leaves alpha out and repeats gray', () => {
    const rgba = resizeBilinear({ data: Uint8Array.from([1, 2, 3, 0]), width: 1, height: 1, channels: 4 }, 1);
    expect(Array.from(rgba)).toEqual([1, 2, 3]);
    const gray = resizeBilinear({ data: Uint8Array.from([7, 128]), width: 1, height: 1, channels: 2 }, 1);
    expect(Array.from(gray)).toEqual([7, 7, 7]);
  });

  const pictures = fc
    .record({ width: fc.integer({ min: 1, max: 12 }), height: fc.integer({ min: 1, max: 12 }) })
    .chain(({ width, height }) =>
      fc.record({
        width: fc.constant(width),
        height: fc.constant(height),
        channels: fc.constant(3),
        data: fc.uint8Array({ minLength: width * height * 3, maxLength: width * height * 3 }),
      }),
    );

  it('leaves a picture that has the size already as it is', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.infiniteStream(fc.nat(255)), (size, values) => {
        const data = Uint8Array.from({ length: size * size * 3 }, () => values.next().value as number);
        const out = resizeBilinear({ data, width: size, height: size, channels: 3 }, size);
        expect(Array.from(out)).toEqual(Array.from(data));
      }),
    );
  });

  it('keeps one colour one colour', () => {
    fc.assert(
      fc.property(
        fc.nat(255),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 40 }),
        (value, side, size) => {
          const data = new Uint8Array(side * 3).fill(value);
          const out = resizeBilinear({ data, width: side, height: 3, channels: 1 }, size);
          expect(out.every((v) => v === value)).toBe(true);
        },
      ),
    );
  });

  it('stays within the range of the input', () => {
    fc.assert(
      fc.property(pictures, fc.integer({ min: 1, max: 20 }), (picture, size) => {
        const out = resizeBilinear(picture, size);
        expect(out).toHaveLength(size * size * 3);
        expect(Math.min(...out)).toBeGreaterThanOrEqual(Math.min(...picture.data));
        expect(Math.max(...out)).toBeLessThanOrEqual(Math.max(...picture.data));
      }),
    );
  });

  it('commutes with mirroring', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 16 }),
        fc.integer({ min: 1, max: 24 }),
        (values, size) => {
          const straight = row([...values], size);
          const mirrored = row([...values].reverse(), size).reverse();
          // float32 positions differ in their last bits from one end to the other.
          straight.forEach((value, i) => expect(mirrored[i]).toBeCloseTo(value, 2));
        },
      ),
    );
  });
});
