import {
  Add,
  AddN,
  type AddNInputs,
  Multiply,
  RealDiv,
  Relu,
  Sqrt,
  Square,
  Step,
  type StepAttrs,
  Sub,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import type { OnnxBackend } from '../backend.js';
import { GraphBuilder, type Value } from '../graph/builder.js';
import { type Inputs, kernel, type OnnxKernel } from './kernel.js';

/** Kernels that take every element for itself, on float32 tensors of any shape, seen as one row. */

const ONNX_BINARY: Record<string, string> = {
  [Add]: 'Add',
  [Sub]: 'Sub',
  [Multiply]: 'Mul',
  [RealDiv]: 'Div',
};
const ONNX_UNARY: Record<string, string> = { [Relu]: 'Relu', [Sqrt]: 'Sqrt' };

/**
 * a and b of one shape, or one of them a single value, or b [C] beside a [..., C], or one of them [n, 1, ..., C] beside
 * [n, ..., C]: what is to be spread over a picture, as the gradient of a mean is.
 */
function binary(name: string): OnnxKernel {
  return kernel<Inputs<'a' | 'b'>, object>(name, ({ inputs: { a, b }, backend }) => {
    const size = Math.max(util.sizeFromShape(a.shape), util.sizeFromShape(b.shape));
    if (a.dtype !== 'float32' || b.dtype !== 'float32' || !backend.isWorthwhile(size)) return null;
    const forms = formsOf(a.shape, b.shape);
    if (!forms) return null;
    const [y] = backend.run(
      `${name} ${forms.a.join()} ${forms.b.join()}`,
      () => {
        const graph = new GraphBuilder();
        const values = [graph.input('a', 'float32', forms.a), graph.input('b', 'float32', forms.b)];
        graph.output('y', 'float32', forms.y, graph.node(ONNX_BINARY[name]!, values));
        return graph;
      },
      [backend.valuesOf(a), backend.valuesOf(b)],
      forms.sizes,
    );
    return backend.tensor({ shape: forms.shape, dtype: 'float32' }, y!);
  });
}

type Form = (string | number)[];

interface Forms {
  a: Form;
  b: Form;
  y: Form;
  sizes: Record<string, number>;
  shape: number[];
}

function formsOf(a: number[], b: number[]): Forms | null {
  const [sizeA, sizeB] = [util.sizeFromShape(a), util.sizeFromShape(b)];
  if (util.arraysEqual(a, b)) return { a: ['n'], b: ['n'], y: ['n'], sizes: { n: sizeA }, shape: a };
  if (sizeB === 1 && b.length <= a.length)
    return { a: ['n'], b: [], y: ['n'], sizes: { n: sizeA }, shape: a };
  if (sizeA === 1 && a.length <= b.length)
    return { a: [], b: ['n'], y: ['n'], sizes: { n: sizeB }, shape: b };
  if (b.length === 1 && a.length > 1 && a.at(-1) === sizeB)
    return { a: ['n', 'c'], b: ['c'], y: ['n', 'c'], sizes: { n: sizeA / sizeB, c: sizeB }, shape: a };
  const whole: Form = ['n', 'positions', 'c'];
  const spread: Form = ['n', 1, 'c'];
  if (isSpread(a, b)) return { a: spread, b: whole, y: whole, sizes: sizesOf(b), shape: b };
  if (isSpread(b, a)) return { a: whole, b: spread, y: whole, sizes: sizesOf(a), shape: a };
  return null;
}

/** Whether `part` is [n, 1, ..., C] and `whole` [n, ..., C]. */
function isSpread(part: readonly number[], whole: readonly number[]): boolean {
  return (
    part.length > 2 &&
    part.length === whole.length &&
    part[0] === whole[0] &&
    part.at(-1) === whole.at(-1) &&
    part.slice(1, -1).every((side) => side === 1)
  );
}

function sizesOf(shape: readonly number[]): Record<string, number> {
  const [n, c] = [shape[0]!, shape.at(-1)!];
  return { n, positions: util.sizeFromShape(shape.slice(1, -1)), c };
}

function unary(name: string, build: (graph: GraphBuilder, x: Value) => Value): OnnxKernel {
  return kernel<Inputs<'x'>, object>(name, ({ inputs: { x }, backend }) =>
    mapElements(backend, name, x, build),
  );
}

function mapElements(
  backend: OnnxBackend,
  key: string,
  x: TensorInfo,
  build: (graph: GraphBuilder, x: Value) => Value,
): TensorInfo | null {
  const size = util.sizeFromShape(x.shape);
  if (x.dtype !== 'float32' || !backend.isWorthwhile(size)) return null;
  const graphOf = () => {
    const graph = new GraphBuilder();
    graph.output('y', 'float32', ['n'], build(graph, graph.input('x', 'float32', ['n'])));
    return graph;
  };
  const elementBytes = Float32Array.BYTES_PER_ELEMENT;
  const [y] = backend.runInChunks(key, graphOf, [backend.valuesOf(x)], [], {
    size,
    pictureBytes: elementBytes,
  });
  return backend.tensor({ shape: x.shape, dtype: 'float32' }, y!);
}

/** 1 above zero, however little, NaN for NaN, 0 elsewhere; other alphas than 0 are left to cpu. */
const step = kernel<Inputs<'x'>, StepAttrs>(Step, ({ inputs: { x }, attrs: { alpha }, backend }) =>
  alpha === 0
    ? mapElements(backend, Step, x, (graph, value) =>
        graph.node('Ceil', [graph.node('Clip', [value, graph.scalar(0), graph.scalar(1)])]),
      )
    : null,
);

/** The sum of tensors of one shape, added from left to right. */
const addN = kernel<AddNInputs, object>(AddN, ({ inputs, backend }) => {
  const [first] = inputs;
  const size = first ? util.sizeFromShape(first.shape) : 0;
  if (!inputs.every(({ dtype }) => dtype === 'float32') || !backend.isWorthwhile(size)) return null;
  const [y] = backend.run(
    `${AddN} ${inputs.length}`,
    () => {
      const graph = new GraphBuilder();
      const values = inputs.map((_, index) => graph.input(`x${index}`, 'float32', ['n']));
      graph.output('y', 'float32', ['n'], graph.node('Sum', values));
      return graph;
    },
    inputs.map((input) => backend.valuesOf(input)),
    { n: size },
  );
  return backend.tensor({ shape: first!.shape, dtype: 'float32' }, y!);
});

export const elementwise: readonly OnnxKernel[] = [
  ...Object.keys(ONNX_BINARY).map(binary),
  ...Object.entries(ONNX_UNARY).map(([name, operator]) =>
    unary(name, (graph, x) => graph.node(operator, [x])),
  ),
  unary(Square, (graph, x) => graph.node('Mul', [x, x])),
  step,
  addN,
];
