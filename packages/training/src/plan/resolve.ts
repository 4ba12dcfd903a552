import { AppError, type JobRequest, type Plan, type PlanLayer } from '@headstart/contracts';
import {
  type BaseLayer,
  INPUT_CHANNELS,
  layersUpTo,
  outputShapeOf,
  parametersOf,
  VGG19_LAYERS,
} from '../models/vgg19/layers.js';
import {
  DEFAULT_BATCH_SIZE,
  DEFAULT_CHECKPOINT_EVERY_SECONDS,
  DEFAULT_INPUT_SIZE,
  DEFAULT_SEED,
  DEFAULT_VALIDATION_SPLIT,
  SCENARIO_DEFAULTS,
} from './defaults.js';
import { frozenLayers, unknownLayer } from './freeze.js';
import { headLayers } from './head.js';
import { checkScenario } from './scenario-rules.js';
import { notesOnCache, planStages } from './stages.js';
import { planWeights } from './weights.js';

export interface PlanContext {
  /** The classes in the order of the labels; null while the data set has not been opened. */
  classes: string[] | null;
  /** URI of the model.json that `job:ID` weights stand for. */
  jobModelUri?: string;
}

/**
 * Resolves a request to the plan that the worker carries out: every default filled in, every layer listed.
 *
 * Pure: the same request and context give the same plan in the API and in the worker.
 * @throws AppError unknown_layer, freeze_conflict or invalid_request, naming the field.
 */
export function resolvePlan(request: JobRequest, context: PlanContext): Plan {
  const defaults = SCENARIO_DEFAULTS[request.scenario];
  const { model = {}, training = {} } = request;
  const featureLayer = resolveFeatureLayer(model.featureLayer ?? defaults.featureLayer);
  const base = layersUpTo(featureLayer);
  const freezeLayers = request.freezeLayers ?? (defaults.trainsBase ? 'none' : 'all');
  const frozen = frozenLayers(freezeLayers, base);
  checkScenario(request, base, frozen);
  const { classes } = context;
  checkClassWeights(request, classes);

  const inputSize = model.inputSize ?? DEFAULT_INPUT_SIZE;
  const pooling = model.pooling ?? defaults.pooling;
  const head = model.head ?? defaults.head;
  const baseLayers = describeBase(base, inputSize, frozen);
  const features = baseLayers.at(-1)!.outputShape as [number, number, number];
  const layers = [...baseLayers, ...headLayers(features, pooling, head, classes?.length ?? null)];
  const stages = planStages(request, layers, base.length);
  const weights = planWeights(request, context.jobModelUri);
  return {
    model: 'vgg19',
    scenario: request.scenario,
    classes,
    weights,
    inputSize,
    featureLayer,
    pooling,
    head,
    layers,
    parameters: countParameters(layers),
    stages,
    training: {
      epochs: stages.reduce((sum, stage) => sum + stage.epochs, 0),
      batchSize: training.batchSize ?? DEFAULT_BATCH_SIZE,
      validationSplit: training.validationSplit ?? DEFAULT_VALIDATION_SPLIT,
      earlyStopping: training.earlyStopping ?? null,
      classWeights: training.classWeights ?? null,
      labelSmoothing: training.labelSmoothing ?? 0,
      augmentation: training.augmentation ?? null,
      featurePrecision: training.featurePrecision ?? 'float32',
      seed: training.seed ?? DEFAULT_SEED,
      maxDurationSeconds: training.maxDurationSeconds ?? null,
      checkpointEverySeconds: training.checkpointEverySeconds ?? DEFAULT_CHECKPOINT_EVERY_SECONDS,
    },
    notes: [...notesOnWeights(weights.source === 'random', layers), ...notesOnCache(request, stages, layers)],
  };
}

function resolveFeatureLayer(name: string): string {
  const cuttable = VGG19_LAYERS.filter((layer) => layer.type !== 'InputLayer').map((layer) => layer.name);
  if (!cuttable.includes(name)) throw unknownLayer('model.featureLayer', name, cuttable);
  return name;
}

function describeBase(base: readonly BaseLayer[], inputSize: number, frozen: Set<string>): PlanLayer[] {
  let shape: [number, number, number] = [inputSize, inputSize, INPUT_CHANNELS];
  return base.map((layer) => {
    shape = outputShapeOf(layer, shape);
    const parameters = parametersOf(layer);
    return {
      name: layer.name,
      type: layer.type,
      outputShape: shape,
      parameters,
      trained: parameters > 0 && !frozen.has(layer.name),
    };
  });
}

function checkClassWeights({ training }: JobRequest, classes: string[] | null): void {
  const weights = training?.classWeights;
  if (!classes || weights === undefined || weights === 'balanced') return;
  const unknown = Object.keys(weights).filter((name) => !classes.includes(name));
  if (unknown.length === 0) return;
  throw new AppError(
    'invalid_request',
    `training.classWeights names ${unknown.join(', ')}, but the classes are ${classes.join(', ')}.`,
    {
      errors: unknown.map((name) => ({
        field: `training.classWeights.${name}`,
        message: 'Unknown class',
        allowed: classes,
      })),
    },
  );
}

function countParameters(layers: PlanLayer[]): Plan['parameters'] {
  const sum = (chosen: PlanLayer[]) =>
    chosen.reduce<number | null>(
      (total, layer) => (total === null || layer.parameters === null ? null : total + layer.parameters),
      0,
    );
  return {
    total: sum(layers),
    trained: sum(layers.filter((layer) => layer.trained)),
    frozen: sum(layers.filter((layer) => !layer.trained)) ?? 0,
  };
}

function notesOnWeights(fromRandom: boolean, layers: PlanLayer[]): string[] {
  const frozenConvolutions = layers.filter((layer) => layer.type === 'Conv2D' && !layer.trained).length;
  if (!fromRandom || frozenConvolutions === 0) return [];
  return [
    `${frozenConvolutions} convolutions stay frozen at random weights: their features are random projections, not learned ones.`,
  ];
}
