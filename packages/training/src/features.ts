import { join } from 'node:path';
import type { Picture, Plan, Progress } from '@headstart/contracts';
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
  let done = 0;
  const run = async (split: 'train' | 'val') => {
    const file = await FeatureFile.create(
      join(options.workDir, `features-${cachedLayers}-${split}.f32`),
      shape,
    );
    const source = pictureSource(pictures[split], plan.inputSize, options.loadPicture, false);
    try {
      await forEachBatch(
        source,
        batchesInOrder(pictures[split].length, FEATURE_BATCH_SIZE),
        null,
        async (xs, indices) => {
          options.checkpoint();
          const features = tf.tidy(() => options.network.apply(xs, 0, cachedLayers));
          await file.write(indices[0]!, features);
          features.dispose();
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
  const train = await run('train');
  try {
    return { train, val: await run('val') };
  } catch (error) {
    await train.close();
    throw error;
  }
}
