import {
  backend_util,
  MaxPool,
  type MaxPoolAttrs,
  MaxPoolGrad,
  type MaxPoolGradAttrs,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import { GraphBuilder } from '../graph/builder.js';
import type { Conv2DInfo } from './conv-layout.js';
import { pictureBytes } from './conv2d.js';
import { type Inputs, kernel } from './kernel.js';

/**
 * x [n, H, W, C] -> [n, H / 2, W / 2, C], float32: windows of 2x2 side by side, as VGG has them. Others are left to the cpu
 * kernel, and so are values that are not finite: it passes over NaN, and ONNX Runtime does not always.
 */
export const maxPool = kernel<Inputs<'x'>, MaxPoolAttrs>(MaxPool, ({ inputs: { x }, attrs, backend }) => {
  const info = windowsOf(x, attrs);
  if (!info || info.inHeight % 2 !== 0 || info.inWidth % 2 !== 0) return null;
  if (!backend.isWorthwhile(util.sizeFromShape(x.shape))) return null;
  const { inHeight, inWidth, inChannels, batchSize } = info;
  const key = `${inHeight}x${inWidth}x${inChannels}`;
  const batch = { size: batchSize, pictureBytes: pictureBytes(info) };
  const values = backend.valuesOf(x);
  const [sums] = backend.runInChunks(`max-pool sums ${key}`, () => buildSums(info), [values], [], batch);
  if (!sums!.every(Number.isFinite)) return null;
  const [y] = backend.runInChunks(`max-pool ${key}`, () => buildGraph(info), [values], [], batch);
  return backend.tensor({ shape: info.outShape, dtype: 'float32' }, y!);
});

/** The larger of two rows, then of two columns. */
function buildGraph({ inHeight, inWidth, inChannels }: Conv2DInfo): GraphBuilder {
  const graph = new GraphBuilder();
  const x = graph.input('x', 'float32', ['n', inHeight, inWidth, inChannels]);
  const larger = { axes: [1], keepdims: 0 };
  const pairsOfRows = graph.reshape(x, [-1, 2, inWidth * inChannels]);
  const rows = graph.node('ReduceMax', [pairsOfRows], larger);
  const pairsOfColumns = graph.reshape(rows, [-1, 2, inChannels]);
  const columns = graph.node('ReduceMax', [pairsOfColumns], larger);
  const y = graph.reshape(columns, [-1, inHeight / 2, inWidth / 2, inChannels]);
  graph.output('y', 'float32', ['n', inHeight / 2, inWidth / 2, inChannels], y);
  return graph;
}

/** Sums of every picture's rows: a NaN or an infinity shows in them. */
function buildSums({ inHeight, inWidth, inChannels }: Conv2DInfo): GraphBuilder {
  const graph = new GraphBuilder();
  const x = graph.input('x', 'float32', ['n', inHeight, inWidth * inChannels]);
  const sums = graph.node('ReduceSum', [x, graph.integers([2])], { keepdims: 0 });
  graph.output('sums', 'float32', ['n', inHeight], sums);
  return graph;
}

/**
 * dy and y [n, H / 2, W / 2, C], x [n, H, W, C] -> dx [n, H, W, C]: in every window the first maximum, row by row, takes all
 * of dy.
 *
 * One pass in JavaScript. ONNX has no operator for it, and the dozen that would stand for it each pass through memory.
 */
export const maxPoolGrad = kernel<Inputs<'dy' | 'input' | 'output'>, MaxPoolGradAttrs>(
  MaxPoolGrad,
  ({ inputs: { dy, input, output }, attrs, backend }) => {
    const info = windowsOf(input, attrs);
    if (!info || dy.dtype !== 'float32') return null;
    const dx = backend.pool.allocate(util.sizeFromShape(info.inShape));
    // A last odd row or column is in no window.
    if (info.inHeight % 2 !== 0 || info.inWidth % 2 !== 0) dx.fill(0);
    const [x, y, gradient] = [input, output, dy].map((tensor) => backend.valuesOf(tensor));
    spread(info, x!, y!, bitsOf(gradient!), bitsOf(dx));
    return backend.tensor({ shape: info.inShape, dtype: 'float32' }, dx);
  },
);

function bitsOf({ buffer, byteOffset, length }: Float32Array): Int32Array {
  return new Int32Array(buffer, byteOffset, length);
}

/**
 * Without a branch: which of the four it is cannot be foretold, and a wrong guess of the processor costs more than all of the
 * rest. So the gradient goes as bits, through masks that are all ones for its place and zero elsewhere.
 */
function spread(info: Conv2DInfo, x: Float32Array, y: Float32Array, dy: Int32Array, dx: Int32Array): void {
  const { batchSize, inHeight, inWidth, inChannels: channels, outHeight, outWidth } = info;
  const rowLength = inWidth * channels;
  let from = 0;
  for (let row = 0; row < batchSize * outHeight; row++) {
    let at = (Math.floor(row / outHeight) * inHeight + 2 * (row % outHeight)) * rowLength;
    for (let column = 0; column < outWidth; column++, at += channels) {
      for (const end = at + channels; at < end; at++, from++) {
        const largest = y[from]!;
        // A window without any number has -Infinity for its maximum.
        let rest = -Number(largest !== -Infinity);
        let mask = -Number(x[at] === largest) & rest;
        dx[at] = dy[from]! & mask;
        rest ^= mask;
        mask = -Number(x[at + channels] === largest) & rest;
        dx[at + channels] = dy[from]! & mask;
        rest ^= mask;
        mask = -Number(x[at + rowLength] === largest) & rest;
        dx[at + rowLength] = dy[from]! & mask;
        rest ^= mask;
        mask = -Number(x[at + rowLength + channels] === largest) & rest;
        dx[at + rowLength + channels] = dy[from]! & mask;
      }
    }
  }
}

/** @returns null unless the windows are 2x2, side by side, without padding. */
function windowsOf(
  x: TensorInfo,
  { filterSize, strides, pad, dimRoundingMode }: MaxPoolAttrs,
): Conv2DInfo | null {
  if (x.dtype !== 'float32') return null;
  const info = backend_util.computePool2DInfo(
    x.shape as [number, number, number, number],
    filterSize,
    strides,
    1,
    pad,
    dimRoundingMode,
  );
  const { top, left, bottom, right } = info.padInfo;
  const sides = [info.filterHeight, info.filterWidth, info.strideHeight, info.strideWidth];
  return sides.every((side) => side === 2) && top + left + bottom + right === 0 ? info : null;
}
