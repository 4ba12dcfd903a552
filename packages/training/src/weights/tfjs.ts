import { readFile } from 'node:fs/promises';
import { AppError, describeIssues, printableUri } from '@headstart/contracts';
import { z } from 'zod';
import {
  type BaseWeights,
  type ConvolutionShape,
  pickConvolutions,
  type StoredArray,
} from './base-weights.js';

/** Of tfjs's io.ModelJSON, what is read here. */
const ModelJson = z.object({
  weightsManifest: z.array(
    z.object({
      paths: z.array(z.string()),
      weights: z.array(
        z.object({
          name: z.string(),
          shape: z.array(z.int().min(0)),
          dtype: z.string(),
          quantization: z.object({ dtype: z.string() }).optional(),
        }),
      ),
    }),
  ),
});
type WeightsManifest = z.infer<typeof ModelJson>['weightsManifest'];

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
  const name = printableUri(uri);
  const manifest = readManifest(await readFile(await fetchFile(uri), 'utf8'), name);
  const arrays = new Map<string, StoredArray[]>();
  for (const group of manifest) {
    const shards: Buffer[] = [];
    for (const path of group.paths) shards.push(await readFile(await fetchFile(shardUri(path, uri))));
    for (const [array, values] of decodeGroup(Buffer.concat(shards), group.weights, name)) {
      const layer = array.split('/')[0]!;
      arrays.set(layer, [...(arrays.get(layer) ?? []), values]);
    }
  }
  return pickConvolutions(needed, name, (layer) => arrays.get(layer.name));
}

/** @throws AppError weights_invalid where a shard is not below model.json's folder: its author could name any file the worker may read. */
function shardUri(path: string, modelUri: string): string {
  const folder = new URL('.', modelUri).href;
  const shard = new URL(path, modelUri).href;
  if (shard.startsWith(folder)) {
    if (!modelUri.startsWith('s3:')) return shard;
    // A key stands in its URI as it is, where a URL would have some of its characters encoded.
    if (!path.split('/').includes('..')) return modelUri.slice(0, modelUri.lastIndexOf('/') + 1) + path;
  }
  throw new AppError(
    'weights_invalid',
    `${printableUri(modelUri)} names a shard outside its own folder. Put all shards beside model.json.`,
  );
}

function readManifest(json: string, uri: string): WeightsManifest {
  const model = parseJson(json);
  const { data, error } = ModelJson.safeParse(model);
  if (data) return data.weightsManifest;
  const [issue] = describeIssues(error, model);
  throw new AppError(
    'weights_invalid',
    `${uri} is not a TensorFlow.js model.json with its weights: ${issue?.field}: ${issue?.message}.`,
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Falls through to the error that says what is wanted.
    return undefined;
  }
}

function decodeGroup(
  bytes: Buffer,
  specs: WeightsManifest[number]['weights'],
  uri: string,
): Map<string, StoredArray> {
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
