import {
  type Attributes,
  type ElementType,
  encodeModel,
  type OnnxConstant,
  type OnnxNode,
  type OnnxValue,
} from './onnx.js';

/** A value inside of a graph: an input, a constant, or what a node puts out. */
export interface Value {
  readonly name: string;
}

/** Operators of ONNX itself, of ONNX Runtime, and of its internal blocked layout. */
export const OPERATOR_SETS = { '': 17, 'com.microsoft': 1, 'com.microsoft.nchwc': 1 } as const;
type Domain = keyof typeof OPERATOR_SETS;

/**
 * Writes an ONNX graph as a chain of calls:
 *
 *     const graph = new GraphBuilder();
 *     const x = graph.input('x', 'float32', [2, 3]);
 *     graph.output('y', 'float32', [2, 3], graph.node('Relu', [x]));
 */
export class GraphBuilder {
  readonly inputs: OnnxValue[] = [];
  readonly outputs: OnnxValue[] = [];
  private readonly nodes: OnnxNode[] = [];
  private readonly constants: OnnxConstant[] = [];
  /** Names of outputs by the names their values were made under. */
  private readonly names = new Map<string, string>();
  private count = 0;

  input(name: string, type: ElementType, shape: OnnxValue['shape']): Value {
    this.inputs.push({ name, type, shape });
    return { name };
  }

  /** Makes `value`, which a node puts out, an output of the graph; nodes may use it all the same. */
  output(name: string, type: ElementType, shape: OnnxValue['shape'], value: Value): void {
    this.outputs.push({ name, type, shape });
    this.names.set(value.name, name);
  }

  /** A node with one output. `undefined` stands for an optional input left out. */
  node(
    operator: string,
    inputs: readonly (Value | undefined)[],
    attributes: Attributes = {},
    domain: Domain = '',
  ): Value {
    const name = `v${this.count++}`;
    this.nodes.push({
      operator,
      domain,
      inputs: inputs.map((input) => input?.name ?? ''),
      outputs: [name],
      attributes,
    });
    return { name };
  }

  floats(values: Float32Array | readonly number[], shape: readonly number[] = [values.length]): Value {
    return this.constant(
      'float32',
      values instanceof Float32Array ? values : Float32Array.from(values),
      shape,
    );
  }

  /** A scalar float. */
  scalar(value: number): Value {
    return this.floats([value], []);
  }

  /** int64, as ONNX wants shapes and axes. */
  integers(values: readonly number[]): Value {
    return this.constant('int64', BigInt64Array.from(values, BigInt), [values.length]);
  }

  /** int32 indices for Gather. */
  indices(values: Int32Array, shape: readonly number[] = [values.length]): Value {
    return this.constant('int32', values, shape);
  }

  reshape(value: Value, shape: readonly number[]): Value {
    return this.node('Reshape', [value, this.integers(shape)]);
  }

  transpose(value: Value, permutation: readonly number[]): Value {
    return this.node('Transpose', [value], { perm: permutation });
  }

  /** Zeros around a value. @param before,after one number per axis. */
  pad(value: Value, before: readonly number[], after: readonly number[]): Value {
    return this.node('Pad', [value, this.integers([...before, ...after]), this.scalar(0)]);
  }

  /**
   * The model's bytes. @param withSequence puts an empty sequence in front of the outputs, under the name of
   * `SEQUENCE_OUTPUT`.
   */
  encode(withSequence: boolean): Uint8Array {
    const sequence: OnnxNode = {
      operator: 'SequenceEmpty',
      domain: '',
      inputs: [],
      outputs: [SEQUENCE_OUTPUT],
      attributes: {},
    };
    const finalName = (name: string) => this.names.get(name) ?? name;
    const nodes = this.nodes.map((node) => ({
      ...node,
      inputs: node.inputs.map(finalName),
      outputs: node.outputs.map(finalName),
    }));
    return encodeModel({
      nodes: withSequence ? [...nodes, sequence] : nodes,
      inputs: this.inputs,
      outputs: this.outputs,
      ...(withSequence && { sequenceOutput: SEQUENCE_OUTPUT }),
      constants: this.constants,
      operatorSets: OPERATOR_SETS,
    });
  }

  private constant(type: ElementType, values: OnnxConstant['values'], shape: readonly number[]): Value {
    const name = `c${this.count++}`;
    this.constants.push({ name, type, shape, values });
    return { name };
  }
}

export const SEQUENCE_OUTPUT = 'sequence';
