import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { createOptimizer } from '../../packages/training/src/optimizers/index.js';
import { generatorFor, glorotUniform } from '../../packages/training/src/random.js';
import { OPTIMIZERS, type Steps } from './parity.js';

const BATCH_SIZE = 4;
const SIDE = 17;
const CLASSES = 3;

/** Networks that differ from VGG19 where an engine may have special cases: strides, odd sides and channels, activations. */
export const SMALL_NETS: Record<string, () => tfl.layers.Layer[]> = {
  'strided convolutions': () => [
    tfl.layers.conv2d({
      filters: 8,
      kernelSize: 5,
      strides: 2,
      activation: 'relu',
      inputShape: [SIDE, SIDE, 3],
    }),
    tfl.layers.conv2d({ filters: 17, kernelSize: 3, padding: 'same', activation: 'elu' }),
    tfl.layers.globalAveragePooling2d({}),
    tfl.layers.dense({ units: CLASSES }),
  ],
  'pools and odd sides': () => [
    tfl.layers.conv2d({
      filters: 16,
      kernelSize: 3,
      padding: 'same',
      activation: 'relu',
      inputShape: [SIDE, SIDE, 3],
    }),
    tfl.layers.maxPooling2d({ poolSize: 2, strides: 2 }),
    tfl.layers.conv2d({ filters: 20, kernelSize: 3, padding: 'same', activation: 'relu' }),
    tfl.layers.maxPooling2d({ poolSize: 3, strides: 2 }),
    tfl.layers.flatten(),
    tfl.layers.dense({ units: CLASSES }),
  ],
  'dense layers': () => [
    tfl.layers.flatten({ inputShape: [SIDE, SIDE, 3] }),
    tfl.layers.dense({ units: 40, activation: 'tanh' }),
    tfl.layers.dense({ units: 24, activation: 'selu' }),
    tfl.layers.dense({ units: CLASSES }),
  ],
};

/** Trains a small network for some steps on tfjs's current backend, from the same weights and pictures every time. */
export async function trainSmallNet(name: string, optimizerName: string, steps: number): Promise<Steps> {
  const model = tfl.sequential({ layers: SMALL_NETS[name]!() });
  for (const layer of model.layers.filter(({ weights }) => weights.length > 0)) {
    const shape = layer.weights[0]!.shape as number[];
    const kernel = glorotUniform(shape, generatorFor(1, name, layer.name.replace(/\d+$/, ''), ...shape));
    tf.tidy(() => layer.setWeights([tf.tensor(kernel, shape), tf.zeros([shape.at(-1)!])]));
  }
  const variables = model.weights.map((weight) => ({
    name: weight.name,
    variable: weight.read() as tf.Variable,
  }));
  const { settings, smallRate } = OPTIMIZERS[optimizerName]!;
  const optimizer = createOptimizer(settings, variables);
  const labels = Array.from({ length: BATCH_SIZE }, (_, index) => index % CLASSES);
  const result: Steps = { losses: [], memory: [], weights: [] };
  for (let step = 0; step < steps; step++) {
    const loss = tf.tidy(() => {
      const xs = batchOf(step % 3);
      const targets = tf.oneHot(tf.tensor1d(labels, 'int32'), CLASSES).cast('float32');
      const { value, grads } = tf.variableGrads(
        () => {
          const logits = model.apply(xs) as tf.Tensor2D;
          return tf.neg(tf.mean(tf.sum(tf.mul(targets, tf.logSoftmax(logits)), 1)));
        },
        variables.map(({ variable }) => variable),
      );
      optimizer.apply(grads, smallRate);
      return value;
    });
    result.losses.push((await loss.data())[0]!);
    loss.dispose();
    result.memory.push({ tensors: tf.memory().numTensors, residentBytes: process.memoryUsage.rss() });
  }
  for (const { variable } of variables) result.weights.push(Float32Array.from(await variable.data()));
  optimizer.dispose();
  model.dispose();
  return result;
}

/** [4, 17, 17, 3], -1 to 1. */
function batchOf(index: number): tf.Tensor4D {
  const random = generatorFor(index, 'small nets');
  const values = Float32Array.from({ length: BATCH_SIZE * SIDE * SIDE * 3 }, () => random.next() / 2 ** 31);
  return tf.tensor4d(values, [BATCH_SIZE, SIDE, SIDE, 3]);
}
