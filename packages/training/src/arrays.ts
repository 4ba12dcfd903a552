/** float32 arrays by name, in a fixed order: weights or optimizer slots outside of any backend. */
export type NamedArrays = Map<string, { shape: readonly number[]; values: Float32Array }>;

/** What a file of packed arrays holds, in order. */
export interface ArraySpec {
  name: string;
  shape: number[];
}

/** One array behind the other, little-endian float32, as tfjs shards have them. */
export function packArrays(arrays: NamedArrays): { specs: ArraySpec[]; bytes: Buffer } {
  const specs: ArraySpec[] = [];
  const parts: Uint8Array[] = [];
  for (const [name, { shape, values }] of arrays) {
    specs.push({ name, shape: [...shape] });
    parts.push(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  return { specs, bytes: Buffer.concat(parts) };
}

/** The inverse of `packArrays`. @throws Error if the bytes are not exactly the arrays' own. */
export function unpackArrays(specs: readonly ArraySpec[], bytes: Buffer): NamedArrays {
  const arrays: NamedArrays = new Map();
  let offset = 0;
  for (const { name, shape } of specs) {
    const end = offset + shape.reduce((product, side) => product * side, 1) * Float32Array.BYTES_PER_ELEMENT;
    arrays.set(name, { shape, values: new Float32Array(new Uint8Array(bytes.subarray(offset, end)).buffer) });
    offset = end;
  }
  if (offset !== bytes.length) throw new Error(`Expected ${offset} bytes of arrays, found ${bytes.length}.`);
  return arrays;
}
