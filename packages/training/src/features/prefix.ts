import { createHash } from 'node:crypto';
import type { CompilePrefix, Plan, Prefix, PrefixLayer } from '@headstart/contracts';
import * as tf from '@tensorflow/tfjs-core';
import type { Network } from '../network.js';
import { BGR_MEANS, preprocess } from '../preprocess.js';
import { type BaseWeights, digestOf } from '../weights/base-weights.js';

/** The first layers, ready to run over pictures. */
export interface OpenPrefix {
  /**
   * @param pictures RGB [size, size, 3] float32, 0..255, each.
   * @returns for each length of the prefix [B, ...] of its last layer's output shape.
   */
  run(pictures: readonly Float32Array[]): Promise<Float32Array[]>;
  dispose(): void;
}

/** Compiled where the engine can, else layer by layer. @param lengths of the prefix, in ascending order. */
export function openPrefix(
  plan: Plan,
  network: Network,
  lengths: readonly number[],
  compilePrefix: CompilePrefix | undefined,
): OpenPrefix {
  if (!compilePrefix) {
    return {
      async run(pictures) {
        const features = tf.tidy(() => {
          let value: tf.Tensor = preprocess(pictures, plan.inputSize);
          return lengths.map((length, i) => (value = network.apply(value, lengths[i - 1] ?? 0, length)));
        });
        const values = await Promise.all(features.map((tensor) => tensor.data<'float32'>()));
        tf.dispose(features);
        return values;
      },
      dispose: () => undefined,
    };
  }
  const compiled = compilePrefix(describePrefix(plan, network, lengths));
  return {
    run: (pictures) => Promise.resolve(compiled.run(pictures)),
    dispose: () => compiled.dispose(),
  };
}

function describePrefix(plan: Plan, network: Network, lengths: readonly number[]): Prefix {
  const layers = plan.layers.slice(1, lengths.at(-1)).map(({ name, type }): PrefixLayer => {
    switch (type) {
      case 'Conv2D': {
        const [kernel, bias] = network
          .variablesOf([name])
          .map(({ variable }) => variable.dataSync<'float32'>());
        return { type, kernel: kernel!, bias: bias! };
      }
      case 'MaxPooling2D':
      case 'GlobalAveragePooling2D':
      case 'GlobalMaxPooling2D':
      case 'Flatten':
        return { type };
      case 'InputLayer':
      case 'Rescaling':
      case 'Dense':
      case 'Dropout':
        throw new Error(`A frozen prefix cannot hold the layer "${name}" of the type ${type}.`);
    }
  });
  // The plan's first layer is the input.
  const outputs = lengths.map((length) => length - 1);
  return { inputSize: plan.inputSize, means: BGR_MEANS, layers, outputs };
}

/**
 * Names a prefix by all that its features depend on beside the picture: weights, layers, input size, precision, and what
 * `computedBy` says of engine and decoding.
 * @returns SHA-256, in hexadecimal.
 */
export function nameOfPrefix(
  plan: Plan,
  weights: BaseWeights,
  length: number,
  computedBy: Readonly<Record<string, string>>,
): string {
  // Flattening leaves the values and their order as they are.
  const layers = plan.layers.slice(1, length).filter(({ type }) => type !== 'Flatten');
  const convolutions = layers.filter(({ type }) => type === 'Conv2D').map(({ name }) => name);
  const isWholeBase = convolutions.length === weights.layers.size;
  const used = new Map(convolutions.map((name) => [name, weights.layers.get(name)!]));
  const identity = {
    computedBy: Object.entries(computedBy).sort(([a], [b]) => (a < b ? -1 : 1)),
    means: BGR_MEANS,
    inputSize: plan.inputSize,
    layers: layers.map(({ name, type }) => [name, type]),
    weights: isWholeBase ? weights.digest : digestOf(used),
    precision: plan.training.featurePrecision,
  };
  return createHash('sha256').update(JSON.stringify(identity)).digest('hex');
}
