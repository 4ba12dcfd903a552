import * as tf from '@tensorflow/tfjs-core';

/** ImageNet's mean blue, green and red (0..255), as in keras.applications.imagenet_utils, mode "caffe". */
export const BGR_MEANS = [103.939, 116.779, 123.68] as const;

/**
 * What VGG19 expects: RGB -> BGR, means subtracted, no scaling.
 * @param pictures RGB [size, size, 3] float32, 0..255, each.
 * @returns [B, size, size, 3] float32 BGR, means subtracted.
 */
export function preprocess(pictures: readonly Float32Array[], size: number): tf.Tensor4D {
  const values = new Float32Array(pictures.length * size * size * 3);
  const [blue, green, red] = BGR_MEANS;
  let at = 0;
  for (const rgb of pictures) {
    for (let i = 0; i < rgb.length; i += 3, at += 3) {
      values[at] = rgb[i + 2]! - blue;
      values[at + 1] = rgb[i + 1]! - green;
      values[at + 2] = rgb[i]! - red;
    }
  }
  return tf.tensor4d(values, [pictures.length, size, size, 3]);
}

/** Mirrors a picture left to right. @param rgb [size, size, 3]; left as it is. @returns a new [size, size, 3]. */
export function mirror(rgb: Float32Array, size: number): Float32Array {
  const mirrored = new Float32Array(rgb.length);
  for (let row = 0; row < rgb.length; row += size * 3) {
    for (let x = 0; x < size; x++) {
      const from = row + x * 3;
      const to = row + (size - 1 - x) * 3;
      mirrored[to] = rgb[from]!;
      mirrored[to + 1] = rgb[from + 1]!;
      mirrored[to + 2] = rgb[from + 2]!;
    }
  }
  return mirrored;
}
