import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';

/** The file that Keras Applications uses. Licence: CC BY 4.0, Visual Geometry Group, Oxford. */
export const IMAGENET_URL =
  'https://storage.googleapis.com/tensorflow/keras-applications/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5';
const PROBE_TIMEOUT_MS = 5_000;

export interface WeightsChoice {
  weights: 'imagenet' | 'random';
  /** For people. */
  reason: string;
}

/**
 * Chooses ImageNet weights where the worker can have them: from its cache, or from the net.
 *
 * A quick look only; the worker downloads and verifies. Whoever posts a job chooses, the service never falls back by itself.
 */
export async function chooseWeights(
  url: string,
  cacheFolder: string,
  signal: AbortSignal,
): Promise<WeightsChoice> {
  const cached = await stat(join(cacheFolder, basename(url))).catch(() => null);
  if (cached) return { weights: 'imagenet', reason: 'they are in the cache' };
  try {
    const limits = AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]);
    const response = await fetch(url, { method: 'HEAD', signal: limits });
    if (response.ok) return { weights: 'imagenet', reason: '80 MB to download, once' };
    return { weights: 'random', reason: `${new URL(url).host} answered with status ${response.status}` };
  } catch (error) {
    signal.throwIfAborted();
    const cause = (error as Error).cause;
    const why = cause instanceof Error ? cause.message : (error as Error).message;
    return { weights: 'random', reason: `${new URL(url).host} cannot be reached (${why})` };
  }
}
