import { z } from 'zod';
import {
  Augmentation,
  ClassWeights,
  EarlyStopping,
  FeaturePrecision,
  HeadLayer,
  Optimizer,
  Pooling,
  Scenario,
  Schedule,
} from './job-request.js';

export const LAYER_TYPES = [
  'InputLayer',
  'Conv2D',
  'MaxPooling2D',
  'GlobalAveragePooling2D',
  'GlobalMaxPooling2D',
  'Flatten',
  'Rescaling',
  'Dense',
  'Dropout',
] as const;

/** One layer of the network that will be trained, base and head alike, in the order of the data. */
export const PlanLayer = z
  .object({
    name: z.string(),
    type: z.enum(LAYER_TYPES),
    outputShape: z.array(z.int().nullable()).meta({
      description: 'Without the batch dimension; null where it depends on a number of classes not known yet.',
    }),
    parameters: z
      .int()
      .nullable()
      .meta({ description: 'Null where it depends on a number of classes not known yet.' }),
    trained: z.boolean().meta({
      description: 'True if any stage changes its weights; false if they are frozen, or if it has none.',
    }),
  })
  .meta({ id: 'PlanLayer' });
export type PlanLayer = z.infer<typeof PlanLayer>;

/** A run of epochs with one set of trained layers and one optimizer. */
export const Stage = z
  .object({
    name: z.enum(['head', 'fine-tune', 'full']).meta({
      description:
        '`head`: the head alone; `fine-tune`: after it, with the base unfrozen; `full`: everything from the start.',
    }),
    epochs: z.int(),
    trainedLayers: z.array(z.string()).meta({ description: 'Layers whose weights change in this stage.' }),
    optimizer: Optimizer,
    learningRate: z.number(),
    schedule: Schedule,
    cachedLayers: z.int().meta({
      description:
        'How many layers from the input run once per picture, and once more for its mirror image where pictures are flipped, their outputs kept on disk; 0 where every epoch sees new pictures.',
    }),
  })
  .meta({ id: 'Stage' });
export type Stage = z.infer<typeof Stage>;

export const WeightsPlan = z
  .discriminatedUnion('source', [
    z.object({ source: z.literal('imagenet') }),
    z.object({ source: z.literal('random') }),
    z.object({ source: z.literal('h5'), uri: z.string() }),
    z.object({ source: z.literal('tfjs'), uri: z.string(), jobId: z.string().optional() }),
  ])
  .meta({ id: 'WeightsPlan' });
export type WeightsPlan = z.infer<typeof WeightsPlan>;

/** The resolved scenario: what is frozen, what trains, with which settings. Nothing in it is left to a default. */
export const Plan = z
  .object({
    model: z.literal('vgg19'),
    scenario: Scenario,
    classes: z.array(z.string()).nullable().meta({ description: 'Null until the data set has been opened.' }),
    weights: WeightsPlan,
    inputSize: z.int(),
    featureLayer: z.string(),
    pooling: Pooling,
    head: z.array(HeadLayer),
    layers: z.array(PlanLayer),
    parameters: z.object({ total: z.int().nullable(), trained: z.int().nullable(), frozen: z.int() }),
    stages: z.array(Stage).min(1),
    training: z.object({
      epochs: z.int(),
      batchSize: z.int(),
      validationSplit: z.number(),
      earlyStopping: EarlyStopping.nullable(),
      classWeights: ClassWeights.nullable(),
      labelSmoothing: z.number(),
      augmentation: Augmentation.nullable(),
      featurePrecision: FeaturePrecision,
      seed: z.int(),
      maxDurationSeconds: z.int().nullable(),
      checkpointEverySeconds: z.int(),
    }),
    notes: z.array(z.string()).meta({
      description: 'What a user should know before it runs, for example that random weights stay frozen.',
    }),
  })
  .meta({ id: 'Plan' });
export type Plan = z.infer<typeof Plan>;
