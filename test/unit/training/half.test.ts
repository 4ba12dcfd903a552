import fc from 'fast-check';
import { expect, it } from 'vitest';
import { fromHalf, toHalf } from '../../../packages/training/dist/features/half.js';

const decode = (bits: number) => {
  const value = new Float32Array(1);
  fromHalf(Uint16Array.of(bits), value);
  return value[0]!;
};
const encode = (value: number) => toHalf(Float32Array.of(value))[0]!;

it('every half that is a number is itself again', () => {
  for (let bits = 0; bits < 65_536; bits++) {
    const value = decode(bits);
    if (Number.isNaN(value)) expect(encode(value)).toBe(0x7e00);
    else expect([bits, encode(value)]).toEqual([bits, bits]);
  }
});

it('knows the values of IEEE 754 binary16', () => {
  expect([0x0001, 0x03ff, 0x0400, 0x3555, 0x3c00, 0xc000, 0x7bff, 0x7c00].map(decode)).toEqual([
    2 ** -24,
    1023 * 2 ** -24,
    2 ** -14,
    0.333251953125,
    1,
    -2,
    65504,
    Infinity,
  ]);
});

it('rounds to the nearest, ties to even, and keeps the largest finite', () => {
  fc.assert(
    fc.property(fc.float({ noNaN: true, min: -65_504, max: 65_504 }), (value) => {
      const bits = encode(value);
      const error = Math.abs(decode(bits) - value);
      for (const other of [bits - 1, bits + 1].filter((near) => (near & 0x7fff) < 0x7c00 && near >= 0)) {
        const otherError = Math.abs(decode(other) - value);
        expect(error).toBeLessThanOrEqual(otherError);
        if (error === otherError) expect(bits & 1).toBe(0);
      }
    }),
    { numRuns: 5000 },
  );
  expect(decode(encode(65_519))).toBe(65_504);
  expect(decode(encode(1e9))).toBe(65_504);
  expect(decode(encode(-1e9))).toBe(-65_504);
  expect(encode(Infinity)).toBe(0x7c00);
});
