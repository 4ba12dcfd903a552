import { AppError, type JobRequest, type PlanLayer, type Schedule, type Stage } from '@headstart/contracts';
import {
  defaultHeadEpochs,
  FINE_TUNE_OPTIMIZER,
  FROM_RANDOM_OPTIMIZER,
  HEAD_OPTIMIZER,
  LEARNING_RATES,
  SCENARIO_DEFAULTS,
} from './defaults.js';

const CONSTANT: Schedule = { type: 'constant', warmupEpochs: 0 };
/** Per picture: block2_pool at 224 pixels (1.6 MB) is kept, block1_pool (3.2 MB) is not. */
const LARGEST_CACHED_BYTES = 2 * 1024 * 1024;
const DEFAULT_STEP = { everyEpochs: 10, factor: 0.1 };

/**
 * The runs of epochs: the head alone, then what the scenario unfreezes; or one run.
 *
 * A request's optimizer, learning rate and schedule are those of the last stage. The head alone trains with Adam 1e-3.
 * @param layers base and head in order, `trained` as in the last stage.
 * @param baseLayerCount how many of them are the base.
 */
export function planStages(request: JobRequest, layers: PlanLayer[], baseLayerCount: number): Stage[] {
  const training = request.training ?? {};
  const { epochs: defaultEpochs, trainsBase } = SCENARIO_DEFAULTS[request.scenario];
  const epochs = training.epochs ?? defaultEpochs;
  const fromRandom = request.model?.weights === 'random';
  const headEpochs = training.headEpochs ?? (trainsBase && !fromRandom ? defaultHeadEpochs(epochs) : 0);
  checkHeadEpochs(request, headEpochs, epochs, trainsBase);

  const base = trainsBase ? (fromRandom ? FROM_RANDOM_OPTIMIZER : FINE_TUNE_OPTIMIZER) : HEAD_OPTIMIZER;
  const optimizer = training.optimizer ?? base.optimizer;
  const ownRate = optimizer.type === base.optimizer.type ? base.learningRate : LEARNING_RATES[optimizer.type];
  const isCached = uncachedChanges(request).length === 0;
  const stageOf = (
    name: Stage['name'],
    stageEpochs: number,
    trained: (layer: PlanLayer, index: number) => boolean,
  ) => {
    const trainedLayers = layers
      .filter((layer, index) => layer.trained && trained(layer, index))
      .map((layer) => layer.name);
    return {
      name,
      epochs: stageEpochs,
      trainedLayers,
      cachedLayers: isCached ? cachedPrefixLength(layers, trainedLayers) : 0,
    };
  };
  const settings = {
    optimizer,
    learningRate: training.learningRate ?? ownRate,
    schedule: resolveSchedule(training.schedule),
  };
  const isHead = (_: PlanLayer, index: number) => index >= baseLayerCount;
  if (!trainsBase) return [{ ...stageOf('head', epochs, isHead), ...settings }];
  if (headEpochs === 0) return [{ ...stageOf('full', epochs, () => true), ...settings }];
  return [
    { ...stageOf('head', headEpochs, isHead), ...HEAD_OPTIMIZER, schedule: CONSTANT },
    { ...stageOf('fine-tune', epochs - headEpochs, () => true), ...settings },
  ];
}

/**
 * How many layers from the input run once per picture, their outputs kept on disk.
 *
 * They end before the first layer that trains or draws at random, at the last output that is small enough to keep: early
 * outputs are larger than the picture itself. An input alone is not worth keeping.
 */
function cachedPrefixLength(layers: PlanLayer[], trainedLayers: string[]): number {
  const changing = layers.findIndex(
    // The scale of the features is measured on what is cached.
    ({ name, type }) => trainedLayers.includes(name) || type === 'Rescaling' || type === 'Dropout',
  );
  const sizeBytes = ({ outputShape }: PlanLayer) =>
    outputShape.reduce<number>((product, side) => product * side!, Float32Array.BYTES_PER_ELEMENT);
  const length =
    layers.slice(0, changing).findLastIndex((layer) => sizeBytes(layer) <= LARGEST_CACHED_BYTES) + 1;
  return length <= 1 ? 0 : length;
}

/** The kinds of augmentation that draw from a continuum, so that no picture comes twice. A flip is one of two. */
function uncachedChanges({ training }: JobRequest): string[] {
  const { shift = 0, zoom = 0, rotation = 0, brightness = 0 } = training?.augmentation ?? {};
  return Object.entries({ shift, zoom, rotation, brightness })
    .filter(([, amount]) => amount > 0)
    .map(([name]) => name);
}

/** What a user should know of the feature cache. */
export function notesOnCache(request: JobRequest, stages: readonly Stage[], layers: PlanLayer[]): string[] {
  const changes = uncachedChanges(request);
  if (changes.length > 0) {
    const cacheable = stages.filter(({ trainedLayers }) => cachedPrefixLength(layers, trainedLayers) > 0);
    return cacheable.map(
      ({ name }) =>
        `The stage "${name}" runs its frozen layers on every picture in every epoch: the feature cache is off, as training.augmentation changes pictures by ${changes.join(', ')}. Flips alone leave it on.`,
    );
  }
  if (!request.training?.augmentation?.flip || stages.every(({ cachedLayers }) => cachedLayers === 0))
    return [];
  return ['Pictures are flipped: the feature cache keeps each training picture and its mirror image.'];
}

function resolveSchedule(schedule: Schedule | undefined): Schedule {
  if (schedule?.type !== 'step') return schedule ?? CONSTANT;
  return {
    ...schedule,
    everyEpochs: schedule.everyEpochs ?? DEFAULT_STEP.everyEpochs,
    factor: schedule.factor ?? DEFAULT_STEP.factor,
  };
}

function checkHeadEpochs(request: JobRequest, headEpochs: number, epochs: number, trainsBase: boolean): void {
  const received = request.training?.headEpochs;
  const refuse = (message: string, allowed: string) => {
    throw new AppError('invalid_request', `training.headEpochs: ${message}`, {
      errors: [{ field: 'training.headEpochs', message, received, allowed }],
    });
  };
  if (!trainsBase && received)
    refuse(
      `the scenario "${request.scenario}" trains nothing but the head; received ${received}. Leave it out.`,
      '0',
    );
  if (headEpochs >= epochs && headEpochs > 0)
    refuse(
      `at least one of the ${epochs} epochs must be left for the unfrozen base; received ${headEpochs}.`,
      `0 to ${epochs - 1}`,
    );
}
