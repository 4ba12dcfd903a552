import { join } from 'node:path';
import type { CompilePrefix, Picture, Plan, Prefix, PrefixLayer, Progress } from '@headstart/contracts';
import * as tf from '@tensorflow/tfjs-core';
import {
  batchesInOrder,
  type BatchSource,
  featureSource,
  forEachBatch,
  type LoadPicture,
  pictureSource,
} from './batches.js';
import { FeatureFile } from './feature-file.js';
import type { Network } from './network.js';
import { BGR_MEANS } from './preprocess.js';
import { ProgressMeter } from './progress.js';

/** Large batches cost memory (12.8 MB per picture behind block1 at 224 pixels) and gain nothing. */
const FEATURE_BATCH_SIZE = 8;

export interface FeatureOptions {
  plan: Plan;
  network: Network;
  pictures: { train: readonly Picture[]; val: readonly Picture[] };
  loadPicture: LoadPicture;
  workDir: string;
  onProgress(progress: Progress): void;
  compilePrefix?: CompilePrefix | undefined;
  /** Called before each batch; throws to stop. */
  checkpoint(): void;
}

/**
 * Runs the first `cachedLayers` layers once per picture and keeps their outputs in `workDir`.
 * @returns sources of both splits, to be closed by the caller.
 * @throws ErrnoException where the disk is full, whatever `checkpoint` throws, decoding errors.
 */
export async function computeFeatures(
  options: FeatureOptions,
  cachedLayers: number,
): Promise<{ train: BatchSource; val: BatchSource }> {
  const { pictures, plan } = options;
  const meter = new ProgressMeter('features', 'pictures', pictures.train.length + pictures.val.length);
  const shape = plan.layers[cachedLayers - 1]!.outputShape as number[];
  const prefix = openPrefix(options, cachedLayers);
  let done = 0;
  const run = async (split: 'train' | 'val') => {
    const file = await FeatureFile.create(
      join(options.workDir, `features-${cachedLayers}-${split}.f32`),
      shape,
    );
    try {
      await forEachBatch(
        { load: (indices) => prefix.load(pictures[split], indices) },
        batchesInOrder(pictures[split].length, FEATURE_BATCH_SIZE),
        null,
        async (batch, indices) => {
          options.checkpoint();
          await file.write(indices[0]!, await batch.features());
          done += indices.length;
          options.onProgress(meter.at(done, done));
        },
      );
    } catch (error) {
      await file.close();
      throw error;
    }
    return featureSource(file);
  };
  try {
    const train = await run('train');
    try {
      return { train, val: await run('val') };
    } catch (error) {
      await train.close();
      throw error;
    }
  } finally {
    prefix.dispose();
  }
}

/** The first layers, ready to run over pictures. */
interface OpenPrefix {
  load(pictures: readonly Picture[], indices: ArrayLike<number>): Promise<LoadedBatch>;
  dispose(): void;
}

interface LoadedBatch {
  /** [B, ...] of the last layer's output shape. */
  features(): Promise<Float32Array>;
  dispose(): void;
}

/** Compiled where the engine can, else layer by layer. */
export function openPrefix(
  {
    plan,
    network,
    loadPicture,
    compilePrefix,
  }: Pick<FeatureOptions, 'plan' | 'network' | 'loadPicture' | 'compilePrefix'>,
  length: number,
): OpenPrefix {
  if (!compilePrefix) {
    return {
      async load(pictures, indices) {
        const xs = await pictureSource(pictures, plan.inputSize, loadPicture, false).load(indices, null);
        return {
          async features() {
            const features = tf.tidy(() => network.apply(xs, 0, length));
            const values = (await features.data()) as Float32Array;
            features.dispose();
            return values;
          },
          dispose: () => xs.dispose(),
        };
      },
      dispose: () => undefined,
    };
  }
  const compiled = compilePrefix(describePrefix(plan, network, length));
  return {
    async load(pictures, indices) {
      const loaded = await Promise.all(Array.from(indices, (index) => loadPicture(pictures[index]!, null)));
      return { features: async () => compiled.run(loaded), dispose: () => undefined };
    },
    dispose: () => compiled.dispose(),
  };
}

function describePrefix(plan: Plan, network: Network, length: number): Prefix {
  const layers = plan.layers.slice(1, length).map(({ name, type }): PrefixLayer => {
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
  return { inputSize: plan.inputSize, means: BGR_MEANS, layers };
}
