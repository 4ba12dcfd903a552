import { type Plan, printableUri } from '@headstart/contracts';
import { generatorFor, glorotUniform } from '../random.js';
import { type BaseWeights, type ConvolutionShape, digestOf, neededConvolutions } from './base-weights.js';
import { readH5Weights } from './h5.js';
import { readTfjsWeights } from './tfjs.js';

/** How weights come to this machine; both may reject with `weights_unavailable` or a storage error. */
export interface WeightsAccess {
  /** Brings an object at s3, file or https to a local path. */
  fetchFile(uri: string): Promise<string>;
  /** Local path of Keras Applications' VGG19 weights without the top. */
  imagenetFile(): Promise<string>;
}

/**
 * Loads the weights the plan's base starts from: those of its own layers alone, so a file that holds only them is enough.
 * @throws AppError weights_invalid naming the layers that do not fit, or what `access` rejects with.
 */
export async function loadBaseWeights(plan: Plan, access: WeightsAccess): Promise<BaseWeights> {
  const needed = neededConvolutions(plan);
  switch (plan.weights.source) {
    case 'random':
      return randomWeights(plan.training.seed, needed);
    case 'imagenet':
      return readH5Weights(await access.imagenetFile(), 'imagenet', needed);
    case 'h5':
      return readH5Weights(await access.fetchFile(plan.weights.uri), printableUri(plan.weights.uri), needed);
    case 'tfjs':
      return readTfjsWeights(plan.weights.uri, (uri) => access.fetchFile(uri), needed);
  }
}

/** As Keras Applications with `weights=None`: Glorot uniform kernels, zero biases; drawn per layer from the job's seed. */
function randomWeights(seed: number, needed: ConvolutionShape[]): BaseWeights {
  const layers = new Map(
    needed.map(({ name, kernelShape }) => {
      const kernel = glorotUniform(kernelShape, generatorFor(seed, 'weights', name));
      return [name, { kernel, bias: new Float32Array(kernelShape[3]) }] as const;
    }),
  );
  return { layers, digest: digestOf(layers) };
}
