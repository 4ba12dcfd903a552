import { Mean, type MeanAttrs, Sum, type SumAttrs, util } from '@tensorflow/tfjs-core';
import { GraphBuilder } from '../graph/builder.js';
import { type Inputs, kernel } from './kernel.js';

/**
 * x [..., C] -> [C] or [1, ..., C], float32: the sum over all axes but the last, as the gradient of a bias is. Others are
 * left to the cpu kernel.
 *
 * First in rows of about the square root of all, then over the rows: the rounding errors of a float32 sum grow with its
 * length, and rows can be summed side by side.
 */
export const sum = kernel<Inputs<'x'>, SumAttrs>(
  Sum,
  ({ inputs: { x }, attrs: { axis, keepDims }, backend }) => {
    const rank = x.shape.length;
    const axes = util.parseAxisParam(axis, x.shape);
    const channels = x.shape.at(-1)!;
    const isOverAllButLast = rank > 1 && axes.length === rank - 1 && !axes.includes(rank - 1);
    const size = util.sizeFromShape(x.shape);
    if (x.dtype !== 'float32' || !isOverAllButLast || !backend.isWorthwhile(size)) return null;
    const count = size / channels;
    const length = divisorNear(count, Math.sqrt(count));
    const [y] = backend.run('sum', buildGraph, [backend.valuesOf(x)], {
      rows: count / length,
      length,
      channels,
    });
    const shape = keepDims ? [...x.shape.slice(0, -1).map(() => 1), channels] : [channels];
    return backend.tensor({ shape, dtype: 'float32' }, y!);
  },
);

function buildGraph(): GraphBuilder {
  const graph = new GraphBuilder();
  const x = graph.input('x', 'float32', ['rows', 'length', 'channels']);
  const rows = graph.node('ReduceSum', [x, graph.integers([1])], { keepdims: 0 });
  const y = graph.node('ReduceSum', [rows, graph.integers([0])], { keepdims: 0 });
  graph.output('y', 'float32', ['channels'], y);
  return graph;
}

/** The largest divisor up to `limit`. */
function divisorNear(value: number, limit: number): number {
  let divisor = Math.floor(limit);
  while (value % divisor !== 0) divisor--;
  return divisor;
}

/** x [n, H, W, C] -> [n, C] or [n, 1, 1, C], float32: the mean over a picture, as global average pooling has it. Others are left to cpu. */
export const mean = kernel<Inputs<'x'>, MeanAttrs>(
  Mean,
  ({ inputs: { x }, attrs: { axis, keepDims }, backend }) => {
    const axes = util.parseAxisParam(axis, x.shape).toSorted();
    const size = util.sizeFromShape(x.shape);
    if (x.shape.length !== 4 || !util.arraysEqual(axes, [1, 2]) || x.dtype !== 'float32') return null;
    if (!backend.isWorthwhile(size)) return null;
    const [n, height, width, channels] = x.shape as [number, number, number, number];
    const [y] = backend.run(
      'mean',
      () => {
        const graph = new GraphBuilder();
        const pictures = graph.input('x', 'float32', ['n', 'positions', 'channels']);
        const y = graph.node('ReduceMean', [pictures], { axes: [1], keepdims: 0 });
        graph.output('y', 'float32', ['n', 'channels'], y);
        return graph;
      },
      [backend.valuesOf(x)],
      { n, positions: height * width, channels },
    );
    return backend.tensor({ shape: keepDims ? [n, 1, 1, channels] : [n, channels], dtype: 'float32' }, y!);
  },
);
