import { createHash } from 'node:crypto';
import { AppError, type Plan } from '@headstart/contracts';
import { layersUpTo } from '../models/vgg19/layers.js';

/** Weights of one convolution: kernel [3, 3, in, out] and bias [out], float32. */
export interface ConvolutionWeights {
  kernel: Float32Array;
  bias: Float32Array;
}

/** What the base starts from. */
export interface BaseWeights {
  layers: Map<string, ConvolutionWeights>;
  /** SHA-256 over the layers' names and values, in the order of the network. */
  digest: string;
}

export interface ConvolutionShape {
  name: string;
  kernelShape: [number, number, number, number];
}

/** The convolutions that the plan's base has, input first: all that a weights file must hold. */
export function neededConvolutions(plan: Plan): ConvolutionShape[] {
  return layersUpTo(plan.featureLayer).flatMap((layer): ConvolutionShape[] =>
    layer.type === 'Conv2D'
      ? [{ name: layer.name, kernelShape: [3, 3, layer.inputChannels, layer.filters] }]
      : [],
  );
}

export function digestOf(layers: Map<string, ConvolutionWeights>): string {
  const hash = createHash('sha256');
  for (const [name, { kernel, bias }] of layers) hash.update(name).update(kernel).update(bias);
  return hash.digest('hex');
}

/** An array read from a weights file. */
export interface StoredArray {
  shape: readonly number[];
  values: Float32Array;
}

/**
 * Picks the needed convolutions out of a file's arrays, matched by layer name and then by shape.
 * @param arraysOf the arrays that the file has for a layer, or undefined if it lacks the layer.
 * @throws AppError weights_invalid naming every layer that is missing or has another shape.
 */
export function pickConvolutions(
  needed: ConvolutionShape[],
  file: string,
  arraysOf: (layer: ConvolutionShape, index: number) => StoredArray[] | undefined,
): BaseWeights {
  const layers = new Map<string, ConvolutionWeights>();
  const missing: string[] = [];
  const misshapen: string[] = [];
  needed.forEach((layer, index) => {
    const arrays = arraysOf(layer, index) ?? [];
    const kernel = arrays.find(({ shape }) => shape.length === 4);
    const bias = arrays.find(({ shape }) => shape.length === 1);
    if (!kernel || !bias) missing.push(layer.name);
    else if (
      kernel.shape.join() !== layer.kernelShape.join() ||
      bias.values.length !== layer.kernelShape[3]
    ) {
      misshapen.push(
        `${layer.name} (kernel [${kernel.shape.join(', ')}], needed [${layer.kernelShape.join(', ')}])`,
      );
    } else layers.set(layer.name, { kernel: kernel.values, bias: bias.values });
  });
  if (missing.length + misshapen.length > 0) throw doesNotFit(file, missing, misshapen);
  return { layers, digest: digestOf(layers) };
}

function doesNotFit(file: string, missing: string[], misshapen: string[]): AppError {
  const faults = [
    ...(missing.length > 0 ? [`it lacks ${missing.join(', ')}`] : []),
    ...(misshapen.length > 0 ? [`it has other shapes for ${misshapen.join(', ')}`] : []),
  ];
  return new AppError(
    'weights_invalid',
    `The weights ${file} do not fit: ${faults.join('; ')}. Give a file with these layers, or a featureLayer before them.`,
    {
      errors: [{ field: 'model.weights', message: faults.join('; '), received: file }],
      details: { missingLayers: missing, misshapenLayers: misshapen },
    },
  );
}
