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
  for (let y = 0, o = 0; y < size; y++) {
    const top = rows.lower[y] as number;
    const below = (rows.upper[y] as number) - top;
    const wy = rows.weight[y] as number;
    for (let x = 0; x < size; x++, o += 3) {
      const p = top + (columns.lower[x] as number);
      const right = (columns.upper[x] as number) - (columns.lower[x] as number);
      const wx = columns.weight[x] as number;
      out[o] = sampleBilinear(data, p, right, below, wx, wy);
      out[o + 1] = sampleBilinear(data, p + green, right, below, wx, wy);
      out[o + 2] = sampleBilinear(data, p + blue, right, below, wx, wy);
    }
  }
  return out;
}

/**
 * Blends the value at `offset` with those `right` and `below` it (distances in the data) by weights of 0 to 1, in the
 * order of TensorFlow's kernel: across, then down.
 */
export function sampleBilinear(
  data: Uint8Array | Float32Array,
  offset: number,
  right: number,
  below: number,
  wx: number,
  wy: number,
): number {
  const topLeft = data[offset] as number;
  const bottomLeft = data[offset + below] as number;
  const top = topLeft + ((data[offset + right] as number) - topLeft) * wx;
  const bottom = bottomLeft + ((data[offset + below + right] as number) - bottomLeft) * wx;
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
