import {
  _FusedMatMul,
  type _FusedMatMulAttrs,
  type _FusedMatMulInputs,
  BatchMatMul,
  type BatchMatMulAttrs,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import type { OnnxBackend } from '../backend.js';
import { GraphBuilder } from '../graph/builder.js';
import { type Inputs, kernel } from './kernel.js';

/** a [..., M, K] x b [..., K, N] -> [..., M, N], float32; each may come transposed. Batches of different shape are left to cpu. */
export const batchMatMul = kernel<Inputs<'a' | 'b'>, BatchMatMulAttrs>(
  BatchMatMul,
  ({ inputs: { a, b }, attrs, backend }) => multiply(backend, a, b, undefined, false, attrs),
);

/** The same, with a bias [N] added and negative values made zero. Other activations and biases are left to cpu. */
export const fusedMatMul = kernel<_FusedMatMulInputs, _FusedMatMulAttrs>(
  _FusedMatMul,
  ({ inputs: { a, b, bias }, attrs, backend }) => {
    const { activation, transposeB } = attrs;
    const isFused = activation === 'relu' || activation === 'linear' || !activation;
    const columns = b.shape.at(transposeB ? -2 : -1);
    if (!isFused || (bias && (bias.shape.length > 1 || bias.shape[0] !== columns))) return null;
    return multiply(backend, a, b, bias, activation === 'relu', attrs);
  },
);

function multiply(
  backend: OnnxBackend,
  a: TensorInfo,
  b: TensorInfo,
  bias: TensorInfo | undefined,
  relu: boolean,
  { transposeA, transposeB }: BatchMatMulAttrs,
): TensorInfo | null {
  if (a.dtype !== 'float32' || b.dtype !== 'float32') return null;
  const outer = a.shape.slice(0, -2);
  if (!util.arraysEqual(outer, b.shape.slice(0, -2))) return null;
  const [rows, inner] = lastTwo(a.shape, transposeA);
  const [innerOfB, columns] = lastTwo(b.shape, transposeB);
  if (inner !== innerOfB) return null;
  const batch = util.sizeFromShape(outer);
  if (!backend.isWorthwhile(batch * rows * inner * columns)) return null;
  const sizes = { batch, rows, inner, columns };
  const [y] = backend.run(
    `mat-mul ${batch > 1} ${transposeA} ${transposeB} ${bias !== undefined} ${relu}`,
    () => buildGraph(batch > 1, transposeA, transposeB, bias !== undefined, relu),
    [a, b, ...(bias ? [bias] : [])].map((input) => backend.valuesOf(input)),
    sizes,
  );
  return backend.tensor({ shape: [...outer, rows, columns], dtype: 'float32' }, y!);
}

/** Gemm for one pair of matrices, FusedMatMul for a batch of them; the sides are named. */
function buildGraph(
  isBatch: boolean,
  transposeA: boolean,
  transposeB: boolean,
  hasBias: boolean,
  relu: boolean,
): GraphBuilder {
  const graph = new GraphBuilder();
  const outer = isBatch ? ['batch'] : [];
  const a = graph.input('a', 'float32', [...outer, ...(transposeA ? ['inner', 'rows'] : ['rows', 'inner'])]);
  const b = graph.input('b', 'float32', [
    ...outer,
    ...(transposeB ? ['columns', 'inner'] : ['inner', 'columns']),
  ]);
  const bias = hasBias ? graph.input('bias', 'float32', ['columns']) : undefined;
  const transposes = { transA: Number(transposeA), transB: Number(transposeB) };
  let y = isBatch
    ? graph.node('FusedMatMul', [a, b], transposes, 'com.microsoft')
    : graph.node('Gemm', bias ? [a, b, bias] : [a, b], transposes);
  if (isBatch && bias) y = graph.node('Add', [y, bias]);
  if (relu) y = graph.node('Relu', [y]);
  graph.output('y', 'float32', [...outer, 'rows', 'columns'], y);
  return graph;
}

function lastTwo(shape: readonly number[], transposed: boolean): [number, number] {
  const [first, second] = [shape.at(-2)!, shape.at(-1)!];
  return transposed ? [second, first] : [first, second];
}
