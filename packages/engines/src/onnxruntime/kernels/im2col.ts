import type { GraphBuilder, Value } from '../graph/builder.js';
import type { Conv2DInfo } from './conv-layout.js';

/**
 * Convolutions as matrix products: a row for every position of the output, with the values that lie under the filter there.
 * Rows are kh kw times as large as the pictures. Without dilations.
 */

/**
 * Positions of a picture's output up to which a product beats the blocked convolution. That one brings the filter into its
 * layout for every call and reads it anew for every picture, which takes longer than all arithmetic where pictures are
 * smaller than that: for 4x4 pictures of 512 channels, 32 at a time, about twice as long.
 */
const MOST_POSITIONS = 16;

/** Whether a convolution and its input's gradient are done as products. */
export function isSmall({ outHeight, outWidth, dilationHeight, dilationWidth }: Conv2DInfo): boolean {
  return outHeight * outWidth <= MOST_POSITIONS && dilationHeight === 1 && dilationWidth === 1;
}

/** Bytes of a picture's rows. */
export function rowBytes(info: Conv2DInfo): number {
  return info.outHeight * info.outWidth * columnsOf(info) * Float32Array.BYTES_PER_ELEMENT;
}

/** Values under the filter, of all channels. */
export function columnsOf({ filterHeight, filterWidth, inChannels }: Conv2DInfo): number {
  return filterHeight * filterWidth * inChannels;
}

/** x [n, H, W, I] * filter [kh, kw, I, O], plus a bias [O] -> [n, H', W', O]. */
export function convolutionByProduct(
  graph: GraphBuilder,
  info: Conv2DInfo,
  relu: boolean,
  x: Value,
  filter: Value,
  bias: Value | undefined,
): Value {
  const { outHeight, outWidth, outChannels } = info;
  const rows = graph.reshape(rowsUnderFilter(graph, info, x), [-1, columnsOf(info)]);
  const y = graph.node('Gemm', [rows, graph.reshape(filter, [columnsOf(info), outChannels]), bias]);
  return graph.reshape(relu ? graph.node('Relu', [y]) : y, [-1, outHeight, outWidth, outChannels]);
}

/**
 * dy [n, H', W', O], filter [kh, kw, I, O] -> dx [n, H, W, I]: what every position of dy gives to each value under the
 * filter, added up for every position of x in the filter's order.
 */
export function inputGradientByProduct(
  graph: GraphBuilder,
  info: Conv2DInfo,
  dy: Value,
  filter: Value,
): Value {
  const { filterHeight, filterWidth, inHeight, inWidth, inChannels, outHeight, outWidth, outChannels } = info;
  const places = filterHeight * filterWidth;
  const columns = graph.node(
    'Gemm',
    [graph.reshape(dy, [-1, outChannels]), graph.reshape(filter, [columnsOf(info), outChannels])],
    { transB: 1 },
  );
  const given = graph.reshape(columns, [-1, outHeight * outWidth * places, inChannels]);
  // A row of zeros behind them, for places of the filter that no position of dy has over this one of x.
  const filled = graph.pad(given, [0, 0, 0], [0, 1, 0]);
  const taken = graph.node('Gather', [filled, graph.indices(rowsOver(info))], { axis: 1 });
  const byPlace = graph.reshape(taken, [-1, inHeight * inWidth, places, inChannels]);
  const dx = graph.node('ReduceSum', [byPlace, graph.integers([2])], { keepdims: 0 });
  return graph.reshape(dx, [-1, inHeight, inWidth, inChannels]);
}

/** x [n, H, W, I] -> [n, H' W' kh kw, I]: for every position of the output what lies under the filter. */
export function rowsUnderFilter(graph: GraphBuilder, info: Conv2DInfo, x: Value): Value {
  const { top, left, bottom, right } = info.padInfo;
  const width = info.inWidth + left + right;
  const isPadded = top + left + bottom + right > 0;
  const padded = isPadded ? graph.pad(x, [0, top, left, 0], [0, bottom, right, 0]) : x;
  const flat = graph.reshape(padded, [-1, (info.inHeight + top + bottom) * width, info.inChannels]);
  return graph.node('Gather', [flat, graph.indices(positionsUnderFilter(info, width))], { axis: 1 });
}

/** Positions in a padded picture of the given width, in the order [H', W', kh, kw]. */
function positionsUnderFilter(info: Conv2DInfo, width: number): Int32Array {
  const { outHeight, outWidth, filterHeight, filterWidth, strideHeight, strideWidth } = info;
  const positions = new Int32Array(outHeight * outWidth * filterHeight * filterWidth);
  let at = 0;
  for (let row = 0; row < outHeight; row++) {
    for (let column = 0; column < outWidth; column++) {
      const corner = row * strideHeight * width + column * strideWidth;
      for (let i = 0; i < filterHeight; i++) {
        for (let j = 0; j < filterWidth; j++) positions[at++] = corner + i * width + j;
      }
    }
  }
  return positions;
}

/** Rows [H', W', kh, kw] that stand for a position of x, in the order [H, W, kh, kw]; one behind the last where there is none. */
function rowsOver(info: Conv2DInfo): Int32Array {
  const { inHeight, inWidth, outHeight, outWidth, filterHeight, filterWidth, padInfo } = info;
  const places = filterHeight * filterWidth;
  const rows = new Int32Array(inHeight * inWidth * places);
  let at = 0;
  for (let row = 0; row < inHeight; row++) {
    for (let column = 0; column < inWidth; column++) {
      for (let i = 0; i < filterHeight; i++) {
        const y = (row + padInfo.top - i) / info.strideHeight;
        for (let j = 0; j < filterWidth; j++) {
          const x = (column + padInfo.left - j) / info.strideWidth;
          const isThere = isIndex(y, outHeight) && isIndex(x, outWidth);
          rows[at++] = isThere
            ? (y * outWidth + x) * places + i * filterWidth + j
            : outHeight * outWidth * places;
        }
      }
    }
  }
  return rows;
}

function isIndex(value: number, length: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < length;
}
