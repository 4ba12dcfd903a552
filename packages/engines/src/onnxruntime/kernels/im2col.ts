import type { GraphBuilder, Value } from '../graph/builder.js';
import type { Conv2DInfo } from './conv-layout.js';

/**
 * Convolutions as matrix products: a row for every position of the output, with the values that lie under the filter there.
 * Rows are kh kw times as large as the pictures. Without dilations.
 */

/** Bytes of a picture's rows. */
export function rowBytes(info: Conv2DInfo): number {
  return info.outHeight * info.outWidth * columnsOf(info) * Float32Array.BYTES_PER_ELEMENT;
}

/** Values under the filter, of all channels. */
export function columnsOf({ filterHeight, filterWidth, inChannels }: Conv2DInfo): number {
  return filterHeight * filterWidth * inChannels;
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
