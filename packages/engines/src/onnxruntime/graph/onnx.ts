import { bytes, type Encoded, float, integer, join, message, text } from './protobuf.js';

/**
 * Messages of onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3), encoded. The numbers are its field
 * numbers.
 */

export type ElementType = 'float32' | 'uint8' | 'int32' | 'int64' | 'bool';

const ELEMENT_TYPES: Record<ElementType, number> = { float32: 1, uint8: 2, int32: 6, int64: 7, bool: 9 };

/** What a node's attribute can be here: integers and lists of them as they are, floats marked, text. */
export type Attribute = number | readonly number[] | string | { float: number };
export type Attributes = Readonly<Record<string, Attribute>>;

export interface OnnxNode {
  operator: string;
  /** '' for ONNX's own. */
  domain: string;
  inputs: readonly string[];
  outputs: readonly string[];
  attributes: Attributes;
}

export interface OnnxValue {
  name: string;
  type: ElementType;
  /** A name stands for a side that differs from run to run. */
  shape: readonly (number | string)[];
}

export interface OnnxConstant extends OnnxValue {
  shape: readonly number[];
  values: Float32Array | Uint8Array | Int32Array | BigInt64Array;
}

export interface OnnxModel {
  nodes: readonly OnnxNode[];
  inputs: readonly OnnxValue[];
  outputs: readonly OnnxValue[];
  /** An output of the type sequence(tensor(float)), in front of the others. */
  sequenceOutput?: string;
  constants: readonly OnnxConstant[];
  /** Version of each domain's operators. */
  operatorSets: Readonly<Record<string, number>>;
}

const IR_VERSION = 8;

/** ModelProto. */
export function encodeModel(model: OnnxModel): Uint8Array {
  const graph = [
    ...model.nodes.map((node) => message(1, ...encodeNode(node))),
    text(2, 'headstart'),
    ...model.constants.map((constant) => message(5, ...encodeConstant(constant))),
    ...model.inputs.map((input) => message(11, ...encodeValue(input))),
    ...(model.sequenceOutput === undefined ? [] : [message(12, ...encodeSequence(model.sequenceOutput))]),
    ...model.outputs.map((output) => message(12, ...encodeValue(output))),
  ];
  const operatorSets = Object.entries(model.operatorSets).map(([domain, version]) =>
    message(8, text(1, domain), integer(2, version)),
  );
  return join(integer(1, IR_VERSION), message(7, ...graph), ...operatorSets);
}

/** NodeProto. */
function encodeNode(node: OnnxNode): Encoded[] {
  return [
    ...node.inputs.map((input) => text(1, input)),
    ...node.outputs.map((output) => text(2, output)),
    text(4, node.operator),
    ...Object.entries(node.attributes).map(([name, value]) => message(5, ...encodeAttribute(name, value))),
    text(7, node.domain),
  ];
}

/** AttributeProto; field 20 is its type: FLOAT 1, INT 2, STRING 3, INTS 7. */
function encodeAttribute(name: string, value: Attribute): Encoded[] {
  if (typeof value === 'number') return [text(1, name), integer(3, value), integer(20, 2)];
  if (typeof value === 'string') return [text(1, name), text(4, value), integer(20, 3)];
  if ('float' in value) return [text(1, name), float(2, value.float), integer(20, 1)];
  return [text(1, name), ...value.map((item) => integer(8, item)), integer(20, 7)];
}

/** ValueInfoProto of a tensor of known rank. */
function encodeValue({ name, type, shape }: OnnxValue): Encoded[] {
  const dimensions = shape.map((side) =>
    message(1, typeof side === 'number' ? integer(1, side) : text(2, side)),
  );
  return [text(1, name), message(2, message(1, integer(1, ELEMENT_TYPES[type]), message(2, ...dimensions)))];
}

/** ValueInfoProto of a sequence of float tensors. */
function encodeSequence(name: string): Encoded[] {
  const element = message(1, message(1, integer(1, ELEMENT_TYPES.float32)));
  return [text(1, name), message(2, message(4, element))];
}

/** TensorProto. */
function encodeConstant({ name, type, shape, values }: OnnxConstant): Encoded[] {
  const raw = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return [
    ...shape.map((side) => integer(1, side)),
    integer(2, ELEMENT_TYPES[type]),
    text(8, name),
    bytes(9, raw),
  ];
}
