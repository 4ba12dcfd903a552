/**
 * The little of protobuf's wire format that ONNX models need: numbers, floats, byte strings and nested messages.
 * https://protobuf.dev/programming-guides/encoding/
 */

const VARINT = 0;
const LENGTH_DELIMITED = 2;
const FIXED_32 = 5;

/** Encoded fields in parts: a model's weights are copied once, when the parts are joined. */
export type Encoded = readonly Uint8Array[];

/** An integer field; negative numbers take ten bytes, as int64 has them. */
export function integer(field: number, value: number): Encoded {
  return [Uint8Array.from([...tag(field, VARINT), ...varint(BigInt.asUintN(64, BigInt(value)))])];
}

export function float(field: number, value: number): Encoded {
  const encoded = Buffer.alloc(4);
  encoded.writeFloatLE(value);
  return [Uint8Array.from(tag(field, FIXED_32)), encoded];
}

export function bytes(field: number, value: Uint8Array): Encoded {
  return message(field, [value]);
}

export function text(field: number, value: string): Encoded {
  return bytes(field, Buffer.from(value, 'utf8'));
}

/** A message of the given fields, in their order. */
export function message(field: number, ...fields: readonly Encoded[]): Encoded {
  const parts = fields.flat();
  const sizeBytes = parts.reduce((sum, part) => sum + part.length, 0);
  return [Uint8Array.from([...tag(field, LENGTH_DELIMITED), ...varint(BigInt(sizeBytes))]), ...parts];
}

export function join(...fields: readonly Encoded[]): Uint8Array {
  return Buffer.concat(fields.flat());
}

function tag(field: number, wireType: number): number[] {
  return varint(BigInt((field << 3) | wireType));
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
