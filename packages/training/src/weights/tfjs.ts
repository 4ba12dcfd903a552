import { readFile } from 'node:fs/promises';
import { AppError } from '@headstart/contracts';
import type { io } from '@tensorflow/tfjs-core';
import {
  type BaseWeights,
  type ConvolutionShape,
  pickConvolutions,
  type StoredArray,
} from './base-weights.js';

/**
 * Reads convolutions from a TensorFlow.js model: model.json and the shards beside it. Its weights are named
 * `<layer>/kernel` and `<layer>/bias`.
 *
 * @param uri URI of model.json. @param fetchFile brings a URI to a local path.
 * @throws AppError weights_invalid if it is no tfjs model or lacks a layer.
 */
export async function readTfjsWeights(
  uri: string,
  fetchFile: (uri: string) => Promise<string>,
  needed: ConvolutionShape[],
): Promise<BaseWeights> {
  const manifest = readManifest(await readFile(await fetchFile(uri), 'utf8'), uri);
  const arrays = new Map<string, StoredArray[]>();
  for (const group of manifest) {
    const shards: Buffer[] = [];
    for (const path of group.paths) shards.push(await readFile(await fetchFile(new URL(path, uri).href)));
    for (const [name, array] of decodeGroup(Buffer.concat(shards), group.weights, uri)) {
      const layer = name.split('/')[0]!;
      arrays.set(layer, [...(arrays.get(layer) ?? []), array]);
    }
  }
  return pickConvolutions(needed, uri, ({ name }) => arrays.get(name));
}

function readManifest(json: string, uri: string): io.WeightsManifestConfig {
  try {
    const { weightsManifest } = JSON.parse(json) as { weightsManifest?: io.WeightsManifestConfig };
    if (Array.isArray(weightsManifest)) return weightsManifest;
  } catch {
    // Falls through to the error that says what is wanted.
  }
  throw new AppError(
    'weights_invalid',
    `${uri} is not a TensorFlow.js model.json: it has no weightsManifest.`,
  );
}

function decodeGroup(bytes: Buffer, specs: io.WeightsManifestEntry[], uri: string): Map<string, StoredArray> {
  const arrays = new Map<string, StoredArray>();
  let offset = 0;
  for (const { name, shape, dtype, quantization } of specs) {
    if (dtype !== 'float32' || quantization) {
      throw new AppError(
        'weights_invalid',
        `${uri}: ${name} is stored as ${quantization?.dtype ?? dtype}; only plain float32 weights can be read.`,
      );
    }
    const length = shape.reduce((product, side) => product * side, 1);
    const end = offset + length * Float32Array.BYTES_PER_ELEMENT;
    if (end > bytes.length)
      throw new AppError('weights_invalid', `${uri}: the shards end before ${name}; they are not whole.`);
    arrays.set(name, { shape, values: new Float32Array(new Uint8Array(bytes.subarray(offset, end)).buffer) });
    offset = end;
  }
  return arrays;
}
