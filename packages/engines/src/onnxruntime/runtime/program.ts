import { type GraphBuilder, SEQUENCE_OUTPUT } from '../graph/builder.js';
import { NativeSession, type Operand, type TypedArray } from './binding.js';

/** Makes the array for an output. @param length in elements. */
export type Allocate = (type: Operand['type'], length: number) => TypedArray;

/** A graph that is ready to run. */
export class Program {
  private readonly session: NativeSession;
  private readonly inputs: GraphBuilder['inputs'];
  private readonly outputs: GraphBuilder['outputs'];
  private readonly zeroCopy: boolean;

  constructor(graph: GraphBuilder, settings: { threads: number; zeroCopy: boolean }) {
    // Not the graph itself: it may hold weights.
    this.inputs = graph.inputs;
    this.outputs = graph.outputs;
    this.zeroCopy = settings.zeroCopy;
    this.session = new NativeSession(graph.encode(settings.zeroCopy), settings.threads);
  }

  /**
   * @param inputs values in the order of the graph's inputs. @param sizes of the named sides, where shapes have some.
   * @param allocate called for each output; without zero-copy ONNX Runtime makes its arrays itself.
   * @returns values in the order of the graph's outputs.
   */
  run(
    inputs: readonly TypedArray[],
    allocate: Allocate,
    sizes: Readonly<Record<string, number>> = {},
  ): TypedArray[] {
    const shapeOf = (shape: readonly (number | string)[]) =>
      shape.map((side) => (typeof side === 'number' ? side : sizes[side]!));
    const feeds: Record<string, Operand> = {};
    for (const [index, { name, type, shape }] of this.inputs.entries())
      feeds[name] = { type, shape: shapeOf(shape), values: inputs[index]! };
    const names = this.outputs.map(({ name }) => name);
    if (!this.zeroCopy) return this.session.run(feeds, names);
    const outputs: Record<string, Operand> = {};
    for (const { name, type, shape } of this.outputs) {
      const sides = shapeOf(shape);
      const values = allocate(
        type,
        sides.reduce((product, side) => product * side, 1),
      );
      outputs[name] = { type, shape: sides, values };
    }
    this.session.runInto(feeds, SEQUENCE_OUTPUT, outputs);
    return names.map((name) => outputs[name]!.values);
  }

  dispose(): void {
    this.session.dispose();
  }
}
