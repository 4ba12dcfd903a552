import { AppError, type JobRequest, type WeightsPlan } from '@headstart/contracts';

/**
 * Where the base's weights come from.
 * @param jobModelUri URI of the earlier job's model.json; needed where the request says `job:ID`.
 */
export function planWeights(request: JobRequest, jobModelUri: string | undefined): WeightsPlan {
  const weights = request.model?.weights ?? 'imagenet';
  if (weights === 'imagenet' || weights === 'random') return { source: weights };
  if (weights.startsWith('job:')) {
    if (jobModelUri === undefined) {
      throw new AppError('invalid_request', `model.weights: the model of "${weights}" is not known.`, {
        errors: [{ field: 'model.weights', message: 'No such finished job', received: weights }],
      });
    }
    return { source: 'tfjs', uri: jobModelUri, jobId: weights.slice('job:'.length) };
  }
  return { source: weights.toLowerCase().endsWith('.json') ? 'tfjs' : 'h5', uri: weights };
}
