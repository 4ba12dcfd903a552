import * as tf from '@tensorflow/tfjs-core';

interface Attributes {
  pad: unknown;
  strides: number | [number, number];
  filterShape: [number, number, number, number];
}

/**
 * Puts the filter's gradient of VGG's convolutions (3x3, stride 1, 'same') on the cpu backend's matrix product: one for
 * each of the nine positions. The cpu backend's own kernel takes half a minute for a picture of 32 pixels; this one two
 * seconds. Its results are the same to 1e-6 (training.test.ts).
 */
export function useFastFilterGradientOnCpu(): void {
  tf.unregisterKernel('Conv2DBackpropFilter', 'cpu');
  tf.registerKernel({
    kernelName: 'Conv2DBackpropFilter',
    backendName: 'cpu',
    kernelFunc: ({ inputs, attrs }) => {
      const { pad, strides, filterShape } = attrs as unknown as Attributes;
      const isVgg =
        filterShape[0] === 3 && filterShape[1] === 3 && pad === 'same' && String(strides) === '1,1';
      if (!isVgg) throw new Error('Only 3x3 convolutions of stride 1 with padding "same" are meant here.');
      return filterGradient(inputs['x'] as tf.Tensor4D, inputs['dy'] as tf.Tensor4D);
    },
  });
}

/** @param x [N, H, W, I]. @param dy [N, H, W, O]. @returns [3, 3, I, O]. */
export function filterGradient(x: tf.Tensor4D, dy: tf.Tensor4D): tf.Tensor4D {
  const [batch, height, width, inChannels] = x.shape;
  const outChannels = dy.shape[3];
  return tf.tidy(() => {
    const padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]); // prettier-ignore
    const columns = tf.reshape<tf.Rank.R2>(dy, [batch * height * width, outChannels]);
    const positions = [0, 1, 2].flatMap((row) => [0, 1, 2].map((column) => [row, column] as const));
    const products = positions.map(([row, column]) => {
      const part = tf.slice(padded, [0, row, column, 0], [batch, height, width, inChannels]);
      return tf.matMul(tf.reshape<tf.Rank.R2>(part, [-1, inChannels]), columns, true, false);
    });
    return tf.reshape<tf.Rank.R4>(tf.stack(products), [3, 3, inChannels, outChannels]);
  });
}
