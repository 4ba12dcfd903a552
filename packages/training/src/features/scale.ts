import type { Plan, Stage } from '@headstart/contracts';
import * as tf from '@tensorflow/tfjs-core';
import { type BatchSource, splitBatches } from '../batches.js';
import type { Network } from '../network.js';
import { RESCALING_LAYER } from '../plan/head.js';
import { generatorFor, permutation } from '../random.js';

/** Pictures that the scale is measured on: with hundreds of features each, more change it by less than a percent. */
const SAMPLE_SIZE = 32;
const BATCH_SIZE = 8;

/**
 * What brings the pooled features to unit scale: one over their standard deviation, over a seeded sample of the training
 * pictures and all features alike. 1 where they do not vary.
 * @param source inputs of the first layer behind the stage's cached prefix.
 */
export async function measureFeatureScale(
  plan: Plan,
  network: Network,
  stage: Stage,
  source: BatchSource,
  pictureCount: number,
): Promise<number> {
  const end = plan.layers.findIndex(({ name }) => name === RESCALING_LAYER);
  const sample = permutation(pictureCount, generatorFor(plan.training.seed, 'feature-scale')).subarray(
    0,
    SAMPLE_SIZE,
  );
  // Sums in float64: squares of hundreds, added up by the thousand, would lose digits in float32.
  let [count, sum, squares] = [0, 0, 0];
  for (const indices of splitBatches(sample, BATCH_SIZE)) {
    const xs = await source.load(indices, null);
    const features = tf.tidy(() => network.apply(xs, stage.cachedLayers, end));
    const values = await features.data<'float32'>();
    if (features !== xs) features.dispose();
    xs.dispose();
    count += values.length;
    for (const value of values) {
      sum += value;
      squares += value * value;
    }
  }
  const deviation = Math.sqrt(squares / count - (sum / count) ** 2);
  return Number.isFinite(deviation) && deviation > 0 ? 1 / deviation : 1;
}
