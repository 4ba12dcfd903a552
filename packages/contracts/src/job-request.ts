import { z } from 'zod';
import { ARCHIVE_ENDINGS, uriOf } from './uri.js';

export const SCENARIOS = ['small-similar', 'large-similar', 'small-different', 'large-different'] as const;
export const Scenario = z.enum(SCENARIOS).meta({
  description:
    'The four cases of the classic transfer-learning guide: is the data set small or large, and similar to ImageNet or very different?',
});
export type Scenario = z.infer<typeof Scenario>;

const DatasetUri = uriOf(['s3', 'file', 'https'], 'datasetUri', { https: ARCHIVE_ENDINGS }).meta({
  description:
    'A folder (`s3://bucket/prefix/`, `file:///path/`) with one folder per class, optionally below `train/` and `val/`; or a .zip, .tar, .tar.gz or .tgz of such a folder at s3, file or https.',
  examples: ['s3://bucket/flowers/'],
});

/** Keras, and a tfjs model.json. */
const WEIGHTS_ENDINGS = ['.h5', '.hdf5', '.json'];

const WeightsSource = z
  .union([
    z.enum(['imagenet', 'random']),
    z.string().regex(
      /^job:[A-Za-z0-9_-]{1,64}$/,
      // Without it zod shows this branch's message alone, whatever is wrong with a URI.
      {
        error:
          'must be "imagenet", "random", "job:ID", or a URI (s3, file or https) of a Keras .h5 file or a tfjs model.json',
        abort: true,
      },
    ),
    uriOf(['s3', 'file', 'https'], 'weights', {
      s3: WEIGHTS_ENDINGS,
      file: WEIGHTS_ENDINGS,
      https: WEIGHTS_ENDINGS,
    }),
  ])
  .meta({
    description:
      'Where the base starts from: `imagenet` (Keras Applications), `random` (seeded), the URI of a Keras .h5 file or of a tfjs model.json, or `job:ID`, the result of an earlier job. Matched by layer name and shape; only the layers that the plan uses are needed.',
  });

/** Of a data set. */
export const MAX_CLASSES = 10_000;

const Fraction = z.number().min(0).max(1);

export const Activation = z.enum(['relu', 'elu', 'selu', 'tanh', 'sigmoid', 'linear']);
export const HeadLayer = z
  .strictObject({
    units: z.int().min(1).max(8192),
    activation: Activation.default('relu'),
    dropout: z
      .number()
      .min(0)
      .lt(1)
      .default(0)
      .meta({ description: 'Share of the outputs dropped while training.' }),
    l2: z
      .number()
      .min(0)
      .max(10)
      .default(0)
      .meta({ description: 'Weight of the squared kernel in the loss.' }),
  })
  .meta({ id: 'HeadLayer' });
export type HeadLayer = z.infer<typeof HeadLayer>;

export const Pooling = z.enum(['flatten', 'avg', 'max']);
export type Pooling = z.infer<typeof Pooling>;

export const FreezeLayers = z
  .union([z.enum(['all', 'none']), z.int().min(0), z.string().min(1), z.array(z.string().min(1)).min(1)])
  .meta({
    description:
      '`"all"`, `"none"`, a number N (exactly Keras\'s `model.layers[:N]`, the InputLayer counted), a layer name (up to and including it), or a list of names.',
  });
export type FreezeLayers = z.infer<typeof FreezeLayers>;

export const ModelRequest = z
  .strictObject({
    weights: WeightsSource.optional(),
    inputSize: z.int().min(32).max(1024).optional().meta({ description: 'Pixels a side; 224 by default.' }),
    featureLayer: z.string().min(1).optional().meta({ description: 'VGG19 layer at which the base is cut.' }),
    pooling: Pooling.optional(),
    head: z
      .array(HeadLayer)
      .max(8)
      .optional()
      .meta({ description: 'Dense layers between the pooling and the softmax.' }),
    classes: z.array(z.string().min(1)).min(2).max(MAX_CLASSES).optional().meta({
      description: 'Order of the classes, which must be the names of the folders; sorted by name by default.',
    }),
  })
  .meta({ id: 'ModelRequest' });
export type ModelRequest = z.infer<typeof ModelRequest>;

export const Optimizer = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: z.literal('sgd'),
      momentum: z.number().min(0).lt(1).default(0.9),
      nesterov: z.boolean().default(false),
    }),
    z.strictObject({ type: z.literal('adam') }),
    z.strictObject({ type: z.literal('rmsprop') }),
  ])
  .meta({
    id: 'Optimizer',
    description: "Keras's formulas and defaults: Adam 0.9, 0.999, 1e-7; RMSprop 0.9, 1e-7.",
  });
export type Optimizer = z.infer<typeof Optimizer>;

/** What the refinement below says, for the document. */
const OF_STEP = { properties: { type: { const: 'step' } }, required: ['type'] };

export const Schedule = z
  .strictObject({
    type: z.enum(['constant', 'step', 'cosine']).default('constant'),
    everyEpochs: z
      .int()
      .min(1)
      .optional()
      .meta({ description: 'step: epochs between two drops; 10 by default.' }),
    factor: z
      .number()
      .gt(0)
      .lt(1)
      .optional()
      .meta({ description: 'step: what each drop multiplies the rate by; 0.1 by default.' }),
    warmupEpochs: z
      .int()
      .min(0)
      .default(0)
      .meta({ description: 'Epochs of a linear rise from 0 to the learning rate, before any of the above.' }),
  })
  .refine((s) => s.type === 'step' || (s.everyEpochs === undefined && s.factor === undefined), {
    error: 'everyEpochs and factor belong to the schedule of type "step"',
  })
  .meta({ id: 'Schedule', dependentSchemas: { everyEpochs: OF_STEP, factor: OF_STEP } });
export type Schedule = z.infer<typeof Schedule>;

export const Augmentation = z
  .strictObject({
    flip: z.boolean().default(false).meta({ description: 'Mirror left to right, half of the time.' }),
    shift: z
      .number()
      .min(0)
      .max(0.5)
      .default(0)
      .meta({ description: 'Largest shift, as a share of the side.' }),
    zoom: z.number().min(0).max(0.9).default(0).meta({ description: 'Largest zoom in or out, as a share.' }),
    rotation: z
      .number()
      .min(0)
      .max(180)
      .default(0)
      .meta({ description: 'Largest rotation in degrees, either way.' }),
    brightness: Fraction.default(0).meta({ description: 'Largest change of brightness, as a share.' }),
  })
  .meta({ id: 'Augmentation' });
export type Augmentation = z.infer<typeof Augmentation>;

export const EarlyStopping = z
  .strictObject({
    monitor: z.enum(['valLoss', 'valAccuracy']).default('valLoss'),
    patience: z
      .int()
      .min(1)
      .default(5)
      .meta({ description: 'Epochs without improvement before training stops.' }),
    minDelta: z.number().min(0).default(0),
  })
  .meta({
    id: 'EarlyStopping',
    description: 'Ends training early, and exports the best epoch instead of the last.',
  });
export type EarlyStopping = z.infer<typeof EarlyStopping>;

export const ClassWeights = z
  .union([z.literal('balanced'), z.record(z.string(), z.number().positive())])
  .meta({
    description:
      '`"balanced"` (inverse to the class counts) or a weight per class name; 1 for a class not named.',
  });

export const FeaturePrecision = z.enum(['float32', 'float16']).meta({
  description:
    'What the outputs of frozen layers are kept in; float32 by default. float16 takes half the disk, and rounds them to 11 bits.',
});

export const TrainingRequest = z
  .strictObject({
    epochs: z
      .int()
      .min(1)
      .max(10_000)
      .optional()
      .meta({ description: 'All epochs, those of the head alone included.' }),
    batchSize: z.int().min(1).max(4096).optional(),
    optimizer: Optimizer.optional(),
    learningRate: z.number().gt(0).max(10).optional(),
    schedule: Schedule.optional(),
    headEpochs: z
      .int()
      .min(0)
      .max(9_999)
      .optional()
      .meta({ description: 'Of the epochs, how many train the head alone before the base is unfrozen.' }),
    validationSplit: z.number().min(0.01).max(0.9).optional().meta({
      description: 'Share kept for validation where the data set has no val/ folder; 0.2 by default.',
    }),
    earlyStopping: EarlyStopping.optional(),
    classWeights: ClassWeights.optional(),
    labelSmoothing: z.number().min(0).lt(1).optional(),
    augmentation: Augmentation.optional(),
    featurePrecision: FeaturePrecision.optional(),
    seed: z.int().min(0).max(0xffffffff).optional(),
    maxDurationSeconds: z.int().min(1).optional(),
    checkpointEverySeconds: z.int().min(1).max(86_400).optional().meta({
      description: 'A checkpoint is saved behind every epoch, and within one this often; 300 by default.',
    }),
  })
  .meta({ id: 'TrainingRequest' });
export type TrainingRequest = z.infer<typeof TrainingRequest>;

/** What receivers are told of by default. */
export const ENDING_EVENTS = ['job.succeeded', 'job.failed', 'job.canceled'] as const;
export const WEBHOOK_EVENTS = [...ENDING_EVENTS, 'job.progress'] as const;
/** At most one `job.progress` of a job goes to a receiver within so long. */
export const PROGRESS_EVERY_SECONDS = 10;
export const WebhookEventType = z.enum(WEBHOOK_EVENTS);
export type WebhookEventType = z.infer<typeof WebhookEventType>;

export const WebhookEventFilter = z
  .array(WebhookEventType)
  .min(1)
  .max(WEBHOOK_EVENTS.length)
  .default([...ENDING_EVENTS])
  .meta({
    description: `What is sent: how a job ends by default, and \`job.progress\`, every ${PROGRESS_EVERY_SECONDS} seconds at most, where it is named.`,
  });

export const WebhookRequest = z
  .strictObject({
    url: uriOf(['https', 'http'], 'webhook.url'),
    events: WebhookEventFilter,
  })
  .meta({ id: 'WebhookRequest' });

/** The body of `POST /jobs`. Everything but the first two has a default that depends on the scenario. */
export const JobRequest = z
  .strictObject({
    datasetUri: DatasetUri,
    scenario: Scenario,
    freezeLayers: FreezeLayers.optional(),
    model: ModelRequest.optional(),
    training: TrainingRequest.optional(),
    output: z
      .strictObject({ uri: uriOf(['s3', 'file'], 'output.uri') })
      .optional()
      .meta({ description: 'Folder below which the job makes one of its own, named by its id.' }),
    webhook: WebhookRequest.optional(),
    priority: z
      .int()
      .min(1)
      .max(1000)
      .optional()
      .meta({ description: '1 is taken first, 1000 last; 500 by default.' }),
    metadata: z
      .record(z.string().min(1).max(64), z.string().max(512))
      .refine((value) => Object.keys(value).length <= 32, { error: 'at most 32 entries' })
      .optional()
      .meta({ description: 'Your own labels, handed back as they are.' }),
  })
  .meta({ id: 'JobRequest' });
export type JobRequest = z.infer<typeof JobRequest>;
export type JobRequestInput = z.input<typeof JobRequest>;
