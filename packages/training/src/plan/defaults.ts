import type { HeadLayer, Optimizer, Pooling, Scenario } from '@headstart/contracts';

/** What a scenario means where the request is silent. */
export interface ScenarioDefaults {
  featureLayer: string;
  pooling: Pooling;
  head: HeadLayer[];
  epochs: number;
  /** True where the scenario trains layers of the base. */
  trainsBase: boolean;
}

const SMALL_DENSE_HEAD: HeadLayer[] = [{ units: 256, activation: 'relu', dropout: 0.5, l2: 0 }];

export const SCENARIO_DEFAULTS: Record<Scenario, ScenarioDefaults> = {
  // A linear classifier on the CNN codes: anything more over-fits a small set.
  'small-similar': {
    featureLayer: 'block5_pool',
    pooling: 'flatten',
    head: [],
    epochs: 30,
    trainsBase: false,
  },
  'large-similar': {
    featureLayer: 'block5_pool',
    pooling: 'avg',
    head: SMALL_DENSE_HEAD,
    epochs: 10,
    trainsBase: true,
  },
  // Later layers are specific to ImageNet, so the features come from an early one.
  'small-different': {
    featureLayer: 'block2_pool',
    pooling: 'avg',
    head: SMALL_DENSE_HEAD,
    epochs: 30,
    trainsBase: false,
  },
  'large-different': {
    featureLayer: 'block5_pool',
    pooling: 'avg',
    head: SMALL_DENSE_HEAD,
    epochs: 10,
    trainsBase: true,
  },
};

export const DEFAULT_BATCH_SIZE = 32;
export const DEFAULT_INPUT_SIZE = 224;
export const DEFAULT_VALIDATION_SPLIT = 0.2;
export const DEFAULT_SEED = 0;
/** What a crash may cost at most, where an epoch takes longer. */
export const DEFAULT_CHECKPOINT_EVERY_SECONDS = 300;

/** Used by a head on frozen layers; also for a head alone before the base is unfrozen. */
export const HEAD_OPTIMIZER: { optimizer: Optimizer; learningRate: number } = {
  optimizer: { type: 'adam' },
  learningRate: 1e-3,
};

/** Small steps of plain momentum, so that pretrained weights are tuned, not wrecked (Keras's fine-tuning guide). */
export const FINE_TUNE_OPTIMIZER: { optimizer: Optimizer; learningRate: number } = {
  optimizer: { type: 'sgd', momentum: 0.9, nesterov: false },
  learningRate: 1e-4,
};

/** From random weights there is nothing to protect, and plain SGD at a small rate would not get off the ground. */
export const FROM_RANDOM_OPTIMIZER: { optimizer: Optimizer; learningRate: number } = {
  optimizer: { type: 'adam' },
  learningRate: 1e-4,
};

/** The learning rate that goes with an optimizer a request names without one. */
export const LEARNING_RATES: Record<Optimizer['type'], number> = { sgd: 1e-2, adam: 1e-3, rmsprop: 1e-3 };

const LONGEST_HEAD_STAGE = 3;

/** A third of the epochs, at most three, and at least one where there are two or more. */
export function defaultHeadEpochs(epochs: number): number {
  return epochs < 2 ? 0 : Math.max(1, Math.min(LONGEST_HEAD_STAGE, Math.floor(epochs / 3)));
}
