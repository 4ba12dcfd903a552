/** Interleaved 8-bit pixels: 1 channel gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha. */
export interface Pixels {
  data: Uint8Array;
  width: number;
  height: number;
  channels: number;
}

interface Axis {
  lower: Int32Array;
  upper: Int32Array;
  weight: Float32Array;
}

/**
 * Bilinear resize to RGB [size, size, 3] float32, 0..255, not rounded.
 *
 * Exactly `tf.image.resize(method='bilinear', antialias=False)`, which Keras's `image_dataset_from_directory` calls:
 * half-pixel centers, the aspect ratio not kept, no smoothing where it shrinks. Source: TensorFlow's
 * core/kernels/image/resize_bilinear_op.cc. Gray is repeated to three channels; alpha is left out.
 */
export function resizeBilinear({ data, width, height, channels }: Pixels, size: number): Float32Array {
  const columns = axisOf(width, size, channels);
  const rows = axisOf(height, size, width * channels);
  const green = channels >= 3 ? 1 : 0;
  const blue = channels >= 3 ? 2 : 0;
  const out = new Float32Array(size * size * 3);
  let o = 0;
  for (let y = 0; y < size; y++) {
    const top = rows.lower[y]!;
    const bottom = rows.upper[y]!;
    const wy = rows.weight[y]!;
    for (let x = 0; x < size; x++) {
      const left = columns.lower[x]!;
      const right = columns.upper[x]!;
      const wx = columns.weight[x]!;
      out[o++] = blend(data, top + left, top + right, bottom + left, bottom + right, wx, wy);
      out[o++] = blend(
        data,
        top + left + green,
        top + right + green,
        bottom + left + green,
        bottom + right + green,
        wx,
        wy,
      );
      out[o++] = blend(
        data,
        top + left + blue,
        top + right + blue,
        bottom + left + blue,
        bottom + right + blue,
        wx,
        wy,
      );
    }
  }
  return out;
}

function blend(
  data: Uint8Array | Float32Array,
  topLeft: number,
  topRight: number,
  bottomLeft: number,
  bottomRight: number,
  wx: number,
  wy: number,
): number {
  const top = data[topLeft]! + (data[topRight]! - data[topLeft]!) * wx;
  const bottom = data[bottomLeft]! + (data[bottomRight]! - data[bottomLeft]!) * wx;
  return top + (bottom - top) * wy;
}

/** For each output position its two neighbours, as offsets into the data, and the weight of the second. */
function axisOf(inputSize: number, outputSize: number, stride: number): Axis {
  const lower = new Int32Array(outputSize);
  const upper = new Int32Array(outputSize);
  const weight = new Float32Array(outputSize);
  const scale = Math.fround(inputSize / outputSize);
  for (let i = 0; i < outputSize; i++) {
    // Rounded to float32 after each step, as the kernel computes it: it decides between neighbours at the edges.
    const position = Math.fround(Math.fround((i + 0.5) * scale) - 0.5);
    const floor = Math.floor(position);
    lower[i] = Math.max(floor, 0) * stride;
    upper[i] = Math.min(Math.ceil(position), inputSize - 1) * stride;
    weight[i] = position - floor;
  }
  return { lower, upper, weight };
}
