import type { CompilePrefix, FeatureUse, Picture, Plan, Progress, Stage } from '@headstart/contracts';
import * as tf from '@tensorflow/tfjs-core';
import {
  batchesInOrder,
  type BatchSource,
  type DrawFlip,
  forEachBatch,
  type LoadPicture,
} from '../batches.js';
import type { Network } from '../network.js';
import { mirror } from '../preprocess.js';
import { ProgressMeter } from '../progress.js';
import type { BaseWeights } from '../weights/base-weights.js';
import { type FeatureCacheOptions, type OpenFeatures, openFeatures } from './cache.js';
import { fromHalf, toHalf } from './half.js';
import { nameOfPrefix, openPrefix } from './prefix.js';
import { type FeatureId } from './segment.js';

/** Large batches cost memory (12.8 MB per picture behind block1 at 224 pixels) and gain nothing. */
const FEATURE_BATCH_SIZE = 8;

export interface FeatureOptions {
  plan: Plan;
  stage: Stage;
  weights: BaseWeights;
  network: Network;
  pictures: { train: readonly Picture[]; val: readonly Picture[] };
  loadPicture: LoadPicture;
  /** Which of the epoch's pictures are mirrored; null where none ever is. */
  drawFlip: DrawFlip | null;
  cache: FeatureCacheOptions;
  onProgress(progress: Progress): void;
  compilePrefix?: CompilePrefix | undefined;
  /** Called before each batch; throws to stop. */
  checkpoint(): void;
}

/**
 * Brings the outputs of the stage's cached layers to this machine's disk: those that the cache has, and the others by running the
 * layers, once per picture. Where pictures are flipped, both orientations.
 * @returns sources of both splits, and how much of it was there; `close` comes behind the last use of either.
 * @throws ErrnoException where the disk is full, whatever `checkpoint` throws, decoding errors.
 */
export async function prepareFeatures(
  options: FeatureOptions,
): Promise<{ sources: Record<'train' | 'val', BatchSource>; use: FeatureUse; close(): Promise<void> }> {
  const { stage, pictures, drawFlip } = options;
  const wanted = wantedOf(pictures, drawFlip !== null);
  const ids = [...wanted.values()].flatMap((picture) => picture.ids);
  const found = new ProgressMeter('features', 'pictures', ids.length);
  let hits = 0;
  const cut = await openCut(options, stage.cachedLayers, ids, (rows) =>
    options.onProgress(found.at((hits += rows), null)),
  );
  try {
    const missing = [...wanted.values()]
      .map(({ picture, ids: all }) => ({ picture, ids: all.filter((id) => !cut.features.has(id)) }))
      .filter((one) => one.ids.length > 0);
    if (missing.length > 0) await computeWithLater(options, cut, missing, { hits, total: ids.length });
  } catch (error) {
    await cut.features.close();
    throw error;
  }
  return {
    sources: {
      train: featureSource(pictures.train, cut, drawFlip),
      val: featureSource(pictures.val, cut, null),
    },
    use: { stage: stage.name, cachedLayers: stage.cachedLayers, hits, misses: ids.length - hits },
    close: () => cut.features.close(),
  };
}

/** A place between two layers, whose features are kept. */
interface Cut {
  /** Layers before it. */
  layers: number;
  features: OpenFeatures;
  /** Of one row, without the batch dimension. */
  shape: number[];
  /** Elements of a row. */
  length: number;
  rowBytes: number;
  /** True where rows are of half precision. */
  isHalf: boolean;
}

async function openCut(
  { plan, weights, cache }: FeatureOptions,
  layers: number,
  wanted: readonly FeatureId[],
  onFound: (rows: number) => void,
): Promise<Cut> {
  const shape = [...(plan.layers[layers - 1]!.outputShape as number[])];
  const isHalf = plan.training.featurePrecision === 'float16';
  const length = shape.reduce((product, side) => product * side, 1);
  const rowBytes = length * (isHalf ? Uint16Array : Float32Array).BYTES_PER_ELEMENT;
  const prefix = nameOfPrefix(plan, weights, layers, cache.computedBy);
  const features = await openFeatures(cache, { prefix, rowBytes, wanted }, onFound);
  return { layers, features, shape, length, rowBytes, isHalf };
}

/** A later stage that trains more layers needs the features of an earlier cut, which lies on the way. */
async function computeWithLater(
  options: FeatureOptions,
  cut: Cut,
  missing: readonly Wanted[],
  counts: { hits: number; total: number },
): Promise<void> {
  const { plan, stage } = options;
  const isOnTheWay = (layers: number) => layers > 0 && layers < stage.cachedLayers;
  const later = plan.stages.slice(plan.stages.indexOf(stage) + 1).map(({ cachedLayers }) => cachedLayers);
  const lengths = [...new Set(later.filter(isOnTheWay))].sort((a, b) => a - b);
  const ids = missing.flatMap((one) => one.ids);
  const earlier: Cut[] = [];
  try {
    for (const layers of lengths) earlier.push(await openCut(options, layers, ids, () => undefined));
    await compute(options, [...earlier, cut], missing, counts);
  } finally {
    for (const { features } of earlier) await features.close();
  }
}

/** A picture and the orientations of it that are needed. */
interface Wanted {
  picture: Picture;
  ids: FeatureId[];
}

/** Each picture once, however often it stands in the data set. */
function wantedOf({ train, val }: FeatureOptions['pictures'], isFlipped: boolean): Map<string, Wanted> {
  const wanted = new Map<string, Wanted>();
  for (const picture of [...train, ...val]) {
    const { sha256 } = picture;
    if (!wanted.has(sha256)) wanted.set(sha256, { picture, ids: [{ sha256, mirrored: false }] });
  }
  if (isFlipped)
    for (const { sha256 } of train) {
      const { ids } = wanted.get(sha256)!;
      if (ids.length === 1) ids.push({ sha256, mirrored: true });
    }
  return wanted;
}

/** Runs the layers over what the last cut lacks, with the next pictures being decoded meanwhile. */
async function compute(
  { plan, network, loadPicture, compilePrefix, checkpoint, onProgress }: FeatureOptions,
  cuts: readonly Cut[],
  missing: readonly Wanted[],
  { hits, total }: { hits: number; total: number },
): Promise<void> {
  const meter = new ProgressMeter('features', 'pictures', total, hits);
  const lengths = cuts.map(({ layers }) => layers);
  const prefix = openPrefix(plan, network, lengths, compilePrefix);
  let computed = 0;
  const load = async ({ picture, ids }: Wanted) => {
    const rgb = await loadPicture(picture, null);
    return ids.map(({ mirrored }) => (mirrored ? mirror(rgb, plan.inputSize) : rgb));
  };
  try {
    await forEachBatch(
      {
        load: async (indices) => ({
          pictures: (await Promise.all(Array.from(indices, (index) => load(missing[index]!)))).flat(),
          dispose: () => undefined,
        }),
      },
      batchesInOrder(missing.length, FEATURE_BATCH_SIZE),
      null,
      async ({ pictures }, indices) => {
        checkpoint();
        const ids = Array.from(indices, (index) => missing[index]!.ids).flat();
        const outputs = await prefix.run(pictures);
        for (const [i, { features, isHalf }] of cuts.entries())
          await features.add(ids, bytesOf(outputs[i]!, isHalf));
        computed += ids.length;
        onProgress(meter.at(hits + computed, computed));
      },
    );
    for (const { features } of cuts) await features.seal();
  } finally {
    prefix.dispose();
  }
}

/** Memory holds a batch at a time, however many pictures there are. */
function featureSource(pictures: readonly Picture[], cut: Cut, drawFlip: DrawFlip | null): BatchSource {
  const { features, shape, length, rowBytes, isHalf } = cut;
  return {
    async load(indices, epoch) {
      const bytes = new Uint8Array(indices.length * rowBytes);
      await Promise.all(
        Array.from(indices, (index, row) => {
          const mirrored = drawFlip !== null && epoch !== null && drawFlip({ epoch, index });
          const id = { sha256: pictures[index]!.sha256, mirrored };
          return features.read(id, bytes.subarray(row * rowBytes, (row + 1) * rowBytes));
        }),
      );
      return tf.tensor(valuesOf(bytes, length * indices.length, isHalf), [indices.length, ...shape]);
    },
  };
}

function bytesOf(values: Float32Array, isHalf: boolean): Uint8Array {
  const kept = isHalf ? toHalf(values) : values;
  return new Uint8Array(kept.buffer, kept.byteOffset, kept.byteLength);
}

function valuesOf(bytes: Uint8Array, length: number, isHalf: boolean): Float32Array {
  if (!isHalf) return new Float32Array(bytes.buffer, bytes.byteOffset, length);
  const values = new Float32Array(length);
  fromHalf(new Uint16Array(bytes.buffer, bytes.byteOffset, length), values);
  return values;
}
