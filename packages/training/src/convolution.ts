import * as tf from '@tensorflow/tfjs-core';

/** How VGG's convolutions go: 3x3, stride 1, zeros around so that the size stays, rectified. */
const ATTRIBUTES = {
  strides: [1, 1],
  pad: 'same',
  dataFormat: 'NHWC',
  dilations: [1, 1],
  activation: 'relu',
} as const;

/**
 * relu(x * kernel + bias) as one operation, in training too. tfjs's own op is three operations as soon as gradients are
 * recorded, and each of them keeps its result until the way back: three times the memory.
 * @param x [B, H, W, I] float32. @param kernel [3, 3, I, O]. @param bias [O]. @returns [B, H, W, O].
 */
export function convolve(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor): tf.Tensor {
  registerGradient();
  return tf.engine().runKernel(tf.FusedConv2D, { x, filter: kernel, bias }, { ...ATTRIBUTES });
}

/** tfjs has no gradient for its fused kernel: its ops wrap theirs around it. */
function registerGradient(): void {
  if (tf.getGradient(tf.FusedConv2D)) return;
  tf.registerGradient({
    kernelName: tf.FusedConv2D,
    inputsToSave: ['x', 'filter'],
    outputsToSave: [true],
    gradFunc: (dy, saved) => {
      const [x, filter, y] = saved as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
      const engine = tf.engine();
      // Only where the rectifier let the value through.
      const passed = tf.tidy(() => tf.mul(dy as tf.Tensor4D, tf.step(y)));
      const run = (kernel: string, inputs: tf.NamedTensorMap, shape: Record<string, number[]>) =>
        engine.runKernel<tf.Tensor4D>(kernel, inputs, { ...ATTRIBUTES, ...shape });
      return {
        x: () => run(tf.Conv2DBackpropInput, { dy: passed, filter }, { inputShape: x.shape }),
        filter: () => run(tf.Conv2DBackpropFilter, { x, dy: passed }, { filterShape: filter.shape }),
        // The last to be asked for. The tape would keep everything until the whole way back is done; in this network
        // nobody needs the layer's values and the gradient that came to it any more.
        bias: () => {
          const gradient = tf.sum(passed, [0, 1, 2]);
          tf.dispose([passed, dy, x, filter, y]);
          return gradient;
        },
      };
    },
  });
}
