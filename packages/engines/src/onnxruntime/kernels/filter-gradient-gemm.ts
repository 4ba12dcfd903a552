import { type OnnxBackend, pictures } from '../backend.js';
import { GraphBuilder } from '../graph/builder.js';
import type { TypedArray } from '../runtime/binding.js';
import { type Conv2DInfo, convolutionOf, keyOf } from './conv-layout.js';
import { columnsOf, rowBytes, rowsUnderFilter } from './im2col.js';

/** From this height on one picture keeps the matrix product busy. */
const LARGE_HEIGHT = 48;
/** Of the columns of one chunk of pictures: more costs memory, less lets the matrix product starve. */
const CHUNK_BYTES = 64 * 1024 * 1024;

/**
 * x [n, H, W, I], dy [n, H', W', O] -> gradient of the filter [kh, kw, I, O], of any convolution without dilations.
 *
 * The values under the filter are gathered in a row for every position of dy, and the rows [n H' W', kh kw I],
 * transposed, are multiplied by dy [n H' W', O]. Products of several pictures are summed in the order of the pictures.
 */
export function gradientByGemm(
  backend: OnnxBackend,
  info: Conv2DInfo,
  x: Float32Array,
  dy: Float32Array,
): TypedArray {
  const isLarge = info.strideHeight === 1 && info.outHeight >= LARGE_HEIGHT;
  return isLarge ? sumOverFilterRows(backend, info, x, dy) : sumOverChunks(backend, info, x, dy);
}

/**
 * Whole pictures in rows, several at a time. The rows are kh kw times as large as the pictures, which fills the memory where
 * pictures are large.
 */
function sumOverChunks(backend: OnnxBackend, info: Conv2DInfo, x: TypedArray, dy: TypedArray): TypedArray {
  const positions = info.outHeight * info.outWidth;
  const columns = columnsOf(info);
  const chunk = Math.max(1, Math.floor(CHUNK_BYTES / rowBytes(info)));
  let sum: Float32Array | undefined;
  for (let first = 0; first < info.batchSize; first += chunk) {
    const count = Math.min(chunk, info.batchSize - first);
    const [rows] = backend.run(
      `conv2d-filter rows ${keyOf(convolutionOf(info, false))} ${info.inHeight}x${info.inWidth}`,
      () => gatherRows(info),
      [pictures(x, info.batchSize, first, count)],
      { n: count },
    );
    const next = backend.pool.allocate(columns * info.outChannels);
    const dyOfChunk = pictures(dy, info.batchSize, first, count);
    addProduct(backend, rows!, dyOfChunk, sum, next, [count * positions, columns, info.outChannels]);
    backend.pool.release(rows!.buffer);
    if (sum) backend.pool.release(sum.buffer);
    sum = next;
  }
  return sum!;
}

/**
 * One picture at a time, with the values under one row of the filter side by side: what lies under its next row is the same
 * array, a picture's row further. So the rows are only kw times as large as the picture.
 */
function sumOverFilterRows(
  backend: OnnxBackend,
  info: Conv2DInfo,
  x: TypedArray,
  dy: TypedArray,
): TypedArray {
  const { batchSize, outHeight, outWidth, outChannels, filterHeight } = info;
  const columns = info.filterWidth * info.inChannels;
  let sum: Float32Array | undefined;
  for (let picture = 0; picture < batchSize; picture++) {
    const [rows] = backend.run(
      `conv2d-filter sides ${keyOf(convolutionOf(info, false))} ${info.inHeight}x${info.inWidth}`,
      () => gatherSides(info),
      [pictures(x, batchSize, picture, 1)],
    );
    const next = backend.pool.allocate(filterHeight * columns * outChannels);
    const dyOfPicture = pictures(dy, batchSize, picture, 1);
    for (let i = 0; i < filterHeight; i++) {
      const first = i * outWidth * columns;
      const under = rows!.subarray(first, first + outHeight * outWidth * columns);
      const [from, to] = [i * columns * outChannels, (i + 1) * columns * outChannels];
      addProduct(backend, under, dyOfPicture, sum?.subarray(from, to), next.subarray(from, to), [
        outHeight * outWidth,
        columns,
        outChannels,
      ]);
    }
    backend.pool.release(rows!.buffer);
    if (sum) backend.pool.release(sum.buffer);
    sum = next;
  }
  return sum!;
}

/** x [1, H, W, I] -> [H + padding, W', kw I]. */
function gatherSides(info: Conv2DInfo): GraphBuilder {
  const { top, left, bottom, right } = info.padInfo;
  const { inHeight, inWidth, inChannels, outWidth, filterWidth, strideWidth } = info;
  const height = inHeight + top + bottom;
  const graph = new GraphBuilder();
  const x = graph.input('x', 'float32', [inHeight, inWidth, inChannels]);
  const isPadded = top + left + bottom + right > 0;
  const padded = isPadded ? graph.pad(x, [top, left, 0], [bottom, right, 0]) : x;
  const columns = Int32Array.from(
    { length: outWidth * filterWidth },
    (_, index) => Math.floor(index / filterWidth) * strideWidth + (index % filterWidth),
  );
  const rows = graph.node('Gather', [padded, graph.indices(columns)], { axis: 1 });
  graph.output('rows', 'float32', [height, columns.length, inChannels], rows);
  return graph;
}

/** x [n, H, W, I] -> [n, H' W' kh kw, I]. */
function gatherRows(info: Conv2DInfo): GraphBuilder {
  const graph = new GraphBuilder();
  const x = graph.input('x', 'float32', ['n', info.inHeight, info.inWidth, info.inChannels]);
  const length = info.outHeight * info.outWidth * info.filterHeight * info.filterWidth;
  graph.output('rows', 'float32', ['n', length, info.inChannels], rowsUnderFilter(graph, info, x));
  return graph;
}

/**
 * rows [rows, columns] transposed x dy [rows, channels] -> target [columns, channels], plus the sum so far.
 * @param sides rows, columns, channels.
 */
function addProduct(
  backend: OnnxBackend,
  rows: TypedArray,
  dy: TypedArray,
  sum: TypedArray | undefined,
  target: Float32Array,
  sides: readonly [number, number, number],
): void {
  backend.runInto(
    `conv2d-filter product ${sum !== undefined}`,
    () => multiply(sum !== undefined),
    [rows, dy, ...(sum ? [sum] : [])],
    [target],
    { rows: sides[0], columns: sides[1], channels: sides[2] },
  );
}

function multiply(addsUp: boolean): GraphBuilder {
  const graph = new GraphBuilder();
  const rows = graph.input('rows', 'float32', ['rows', 'columns']);
  const dy = graph.input('dy', 'float32', ['rows', 'channels']);
  const sum = addsUp ? [graph.input('sum', 'float32', ['columns', 'channels'])] : [];
  graph.output(
    'gradient',
    'float32',
    ['columns', 'channels'],
    graph.node('Gemm', [rows, dy, ...sum], { transA: 1 }),
  );
  return graph;
}
