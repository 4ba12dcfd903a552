/**
 * The little of protobuf's wire format that ONNX models need: numbers, floats, byte strings and nested messages.
 * https://protobuf.dev/programming-guides/encoding/
 */

const VARINT = 0;
const LENGTH_DELIMITED = 2;
const FIXED_32 = 5;

/** One encoded field, or several behind one another. Fields of a message are concatenated. */
export type Encoded = Uint8Array;

/** An integer field; negative numbers take ten bytes, as int64 has them. */
export function integer(field: number, value: number): Encoded {
  return Uint8Array.from([
    ...varint(BigInt(tag(field, VARINT))),
    ...varint(BigInt.asUintN(64, BigInt(value))),
  ]);
}

export function float(field: number, value: number): Encoded {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([Uint8Array.from(varint(BigInt(tag(field, FIXED_32)))), bytes]);
}

export function bytes(field: number, value: Uint8Array): Encoded {
  const head = [...varint(BigInt(tag(field, LENGTH_DELIMITED))), ...varint(BigInt(value.length))];
  return Buffer.concat([Uint8Array.from(head), value]);
}

export function text(field: number, value: string): Encoded {
  return bytes(field, Buffer.from(value, 'utf8'));
}

export function message(field: number, ...parts: readonly Encoded[]): Encoded {
  return bytes(field, Buffer.concat(parts));
}

function tag(field: number, wireType: number): number {
  return (field << 3) | wireType;
}

function varint(value: bigint): number[] {
  const result: number[] = [];
  let rest = value;
  while (rest >= 0x80n) {
    result.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  result.push(Number(rest));
  return result;
}
