/** Largest finite half. Larger features are kept as this one. */
const LARGEST = 0x7bff;
const NOT_A_NUMBER = 0x7e00;

let table: Float32Array | undefined;

/** IEEE 754 binary16 bits, rounded to the nearest, ties to even. Finite values beyond 65504 become ±65504. */
export function toHalf(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) {
    const sign = (bits[i]! >>> 16) & 0x8000;
    halves[i] = sign | magnitudeOf(bits[i]! & 0x7fffffff, values[i]!);
  }
  return halves;
}

function magnitudeOf(bits: number, value: number): number {
  if (bits > 0x7f800000) return NOT_A_NUMBER;
  if (bits === 0x7f800000) return 0x7c00;
  // Below 2^-14 halves are multiples of 2^-24: what float32 rounds to, to even, beside 0.5.
  if (bits < 0x38800000) return Math.round(Math.fround(Math.abs(value) + 0.5) * 2 ** 24) - 2 ** 23;
  const odd = (bits >>> 13) & 1;
  return Math.min((bits - 0x38000000 + 0xfff + odd) >>> 13, LARGEST);
}

/** The values of binary16 bits, exactly. @param target as long as `halves`. */
export function fromHalf(halves: Uint16Array, target: Float32Array): void {
  table ??= Float32Array.from({ length: 65_536 }, (_, bits) => valueOf(bits));
  for (let i = 0; i < halves.length; i++) target[i] = table[halves[i]!]!;
}

function valueOf(bits: number): number {
  const exponent = (bits >>> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits >>> 15 === 1 ? -1 : 1;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
