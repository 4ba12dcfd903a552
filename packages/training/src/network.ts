import type { Plan, PlanLayer } from '@headstart/contracts';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { convolve } from './convolution.js';
import { OUTPUT_LAYER } from './plan/head.js';
import { generatorFor, glorotUniform } from './random.js';
import type { BaseWeights } from './weights/base-weights.js';

/** A weight of the network by the name that files and checkpoints know it by: `<layer>/kernel` or `<layer>/bias`. */
export interface NamedVariable {
  name: string;
  variable: tf.Variable;
}

/** Draws a dropout layer's mask: a seed of its own for every step and layer. Absent outside training. */
export type DropoutSeed = (layer: string) => string;

/** Base and head as one chain of Keras-named layers. */
export interface Network {
  /** The whole as a tfjs LayersModel: input [B, S, S, 3] float32 BGR, means subtracted; output [B, classes] probabilities. */
  model: tfl.LayersModel;
  /**
   * Runs the plan's layers `from` (included) to `to` (excluded).
   * Where the last of them is the output layer the result is logits [B, classes], before the softmax.
   */
  apply(x: tf.Tensor, from: number, to: number, dropoutSeed?: DropoutSeed): tf.Tensor;
  /** Kernels and biases of the named layers, in the order of the network. */
  variablesOf(layers: readonly string[]): NamedVariable[];
  /** Frees every weight. */
  dispose(): void;
}

/**
 * Builds the network of a plan whose classes are known: the base with the given weights, the head from the plan's seed
 * (Glorot uniform kernels, zero biases, as Keras).
 * @param featureScale what the pooled features are multiplied by.
 */
export function buildNetwork(plan: Plan, base: BaseWeights, featureScale = 1): Network {
  const input = tfl.input({ shape: [plan.inputSize, plan.inputSize, 3], name: plan.layers[0]!.name });
  const layers = plan.layers.slice(1).map((layer) => createLayer(layer, plan, featureScale));
  const output = layers.reduce<tfl.SymbolicTensor>((x, layer) => layer.apply(x) as tfl.SymbolicTensor, input);
  const model = tfl.model({ inputs: input, outputs: output, name: plan.model });
  for (const layer of layers) {
    if (layer.weights.length === 0) continue;
    const shape = layer.weights[0]!.shape as number[];
    const { kernel, bias } = base.layers.get(layer.name) ?? {
      kernel: glorotUniform(shape, generatorFor(plan.training.seed, 'head', layer.name)),
      bias: new Float32Array(shape.at(-1)!),
    };
    tf.tidy(() => layer.setWeights([tf.tensor(kernel, shape), tf.tensor1d(bias)]));
  }
  const byName = new Map(layers.map((layer) => [layer.name, layer]));
  return {
    model,
    apply: (x, from, to, dropoutSeed) =>
      plan.layers
        .slice(from, to)
        .reduce((value, { name, type }) => applyLayer(value, type, byName.get(name), dropoutSeed), x),
    variablesOf: (names) => names.flatMap((name) => variablesOf(byName.get(name)!)),
    dispose: () => model.dispose(),
  };
}

function createLayer(
  { name, type, outputShape }: PlanLayer,
  plan: Plan,
  featureScale: number,
): tfl.layers.Layer {
  // The initial values are set by the caller; drawing them here would only cost time.
  const unset = { kernelInitializer: 'zeros' as const, biasInitializer: 'zeros' as const };
  const position = Number(name.split('_').at(-1)) - 1;
  switch (type) {
    case 'InputLayer':
      throw new Error('The input is not a layer of the chain.');
    case 'Conv2D':
      return tfl.layers.conv2d({
        name,
        filters: outputShape[2]!,
        kernelSize: 3,
        padding: 'same',
        activation: 'relu',
        ...unset,
      });
    case 'MaxPooling2D':
      return tfl.layers.maxPooling2d({ name, poolSize: 2, strides: 2 });
    case 'GlobalAveragePooling2D':
      return tfl.layers.globalAveragePooling2d({ name });
    case 'GlobalMaxPooling2D':
      return tfl.layers.globalMaxPooling2d({ name });
    case 'Flatten':
      return tfl.layers.flatten({ name });
    case 'Rescaling':
      return tfl.layers.rescaling({ name, scale: featureScale });
    case 'Dropout':
      return tfl.layers.dropout({ name, rate: plan.head[position]!.dropout });
    case 'Dense':
      return tfl.layers.dense({
        name,
        units: outputShape[0]!,
        activation: name === OUTPUT_LAYER ? 'softmax' : plan.head[position]!.activation,
        ...unset,
      });
  }
}

function applyLayer(
  x: tf.Tensor,
  type: PlanLayer['type'],
  layer: tfl.layers.Layer | undefined,
  dropoutSeed?: DropoutSeed,
): tf.Tensor {
  if (!layer) return x;
  if (type === 'Dropout') {
    // The Layers API draws the same mask at every step where it is seeded, so the mask is drawn here.
    return dropoutSeed
      ? tf.dropout(x, (layer.getConfig() as { rate: number }).rate, undefined, dropoutSeed(layer.name))
      : x;
  }
  if (type === 'Conv2D') {
    const [kernel, bias] = layer.weights.map((weight) => weight.read());
    return convolve(x, kernel!, bias!);
  }
  if (layer.name === OUTPUT_LAYER) {
    // The loss needs logits: taking the logarithm of a softmax would lose small probabilities.
    const [kernel, bias] = layer.weights.map((weight) => weight.read());
    return tf.add(tf.matMul(x as tf.Tensor2D, kernel as tf.Tensor2D), bias!);
  }
  return layer.apply(x) as tf.Tensor;
}

function variablesOf(layer: tfl.layers.Layer): NamedVariable[] {
  return ['kernel', 'bias'].map((part, index) => ({
    name: `${layer.name}/${part}`,
    variable: layer.weights[index]!.read() as tf.Variable,
  }));
}
