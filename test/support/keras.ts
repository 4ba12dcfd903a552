import { readFileSync } from 'node:fs';
import { JobRequest, type JobRequestInput, type Picture, type Plan } from '@headstart/contracts';
import { resolvePlan } from '@headstart/training/plan';
import { generatorFor, permutation } from '../../packages/training/src/random.js';

/** What Keras came to with the same inputs: written by `npm run keras:fix`, read by the tests. */
export const KERAS_FIXTURES = new URL('../keras/fixtures/', import.meta.url);

export function readFixture<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(name, KERAS_FIXTURES), 'utf8')) as T;
}

const DOCUMENT = readFileSync(new URL('../../docs/keras.md', import.meta.url), 'utf8');

/**
 * The largest difference that a row of docs/keras.md admits to: what is written there is what the tests hold to.
 * @param row its first cell.
 */
export function documentedDifference(row: string): number {
  const cells = DOCUMENT.split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .find((line) => line[1] === row);
  const value = Number(cells?.at(-2));
  if (!cells || Number.isNaN(value))
    throw new Error(`docs/keras.md has no row "${row}" that ends in a number.`);
  return value;
}

const CLASSES = ['blue', 'green', 'red'];
const BATCH_SIZE = 8;
const EPOCHS = 5;
const TRAIN_COUNT = 24;
const VAL_COUNT = 12;
const HEAD = [{ units: 64, dropout: 0 }];
/** The smallest that VGG19 takes. */
const INPUT_SIZE = 32;
/** Where a flattened feature map has an order. */
const FLATTENED_SIZE = 64;

/**
 * The four scenarios, and one with every setting that has a counterpart in Keras. Dropout is off, since no two libraries
 * draw the same masks. Where the whole network is trained the rates are low: from random weights its training is chaotic at
 * larger ones, and rounding alone makes curves part.
 */
export const TRAINING_CASES: Record<string, Omit<JobRequestInput, 'datasetUri'>> = {
  'small-similar': { scenario: 'small-similar', model: { inputSize: FLATTENED_SIZE } },
  'large-similar': {
    scenario: 'large-similar',
    freezeLayers: 5,
    model: { head: HEAD },
    training: { headEpochs: 3, learningRate: 3e-6 },
  },
  'small-different': { scenario: 'small-different', model: { head: HEAD } },
  'large-different': { scenario: 'large-different', model: { head: HEAD }, training: { learningRate: 3e-6 } },
  'every setting': {
    scenario: 'large-similar',
    freezeLayers: 'block3_pool',
    model: { pooling: 'max', head: [{ units: 32, activation: 'elu', l2: 0.01 }] },
    training: {
      headEpochs: 0,
      optimizer: { type: 'sgd', momentum: 0.8, nesterov: true },
      learningRate: 1e-4,
      schedule: { type: 'cosine' },
      labelSmoothing: 0.1,
      classWeights: { blue: 2, red: 0.5 },
    },
  },
};

/** Those whose networks Keras is asked to open: every pooling, and heads of one and two layers. */
export const EXPORTED_CASES = ['small-similar', 'small-different', 'every setting'];

export function planOfCase(name: string): Plan {
  const { model, training, ...request } = TRAINING_CASES[name]!;
  const parsed = JobRequest.parse({
    datasetUri: 'file:///data/',
    ...request,
    model: { weights: 'random', inputSize: INPUT_SIZE, ...model },
    training: { epochs: EPOCHS, batchSize: BATCH_SIZE, ...training },
  });
  return resolvePlan(parsed, { classes: CLASSES });
}

function picturesNamed(prefix: string, count: number): Picture[] {
  return Array.from({ length: count }, (_, index) => {
    const path = `${prefix}/${index}`;
    return { path, file: path, label: index % CLASSES.length, sha256: path };
  });
}

/** Pictures of three classes, drawn by `drawPicture`. */
export const PICTURES = {
  train: picturesNamed('train', TRAIN_COUNT),
  val: picturesNamed('val', VAL_COUNT),
};

/** Stripes of a tint that its class is more likely to have, over noise: RGB [size, size, 3] float32 of whole numbers, 0..255. */
export function drawPicture({ label, path }: Picture, size: number): Float32Array {
  const random = generatorFor(1, 'keras', path);
  const uniform = () => (random.next() >>> 0) / 2 ** 32;
  const tint = [0, 1, 2].map((channel) => (channel === label ? 0.4 : 0) + 0.6 * uniform());
  const phase = uniform() * 6;
  const picture = new Float32Array(size * size * 3);
  for (let i = 0, y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const stripe = (x + 2 * y + phase) % 6 < 3 ? 60 : 0;
      for (const share of tint) picture[i++] = Math.floor(60 * uniform() + (stripe + 130) * share);
    }
  }
  return picture;
}

/** The order of an epoch's training pictures, as the training loop draws it. */
export function orderOf(plan: Plan, epoch: number): number[] {
  return [...permutation(TRAIN_COUNT, generatorFor(plan.training.seed, 'order', epoch))];
}

/** Some of a tensor's values, evenly spread, with its norm and largest absolute value. */
export interface Sampled {
  length: number;
  norm: number;
  largest: number;
  sample: number[];
}

/** How far values are from Keras's: over the largest of them, at the places of the sample; and between the norms. */
export function differenceFrom({ length, norm, largest, sample }: Sampled, values: Float32Array): number {
  if (values.length !== length) throw new Error(`${values.length} values instead of ${length}.`);
  const ownNorm = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return sample.reduce(
    (worst, expected, i) => {
      const place = Math.floor((i * length) / sample.length);
      return Math.max(worst, Math.abs(values[place]! - expected) / largest);
    },
    Math.abs(ownNorm / norm - 1),
  );
}

/** |a / b - 1|, and the largest of it over lists. */
export function relativeDifference(actual: readonly number[], expected: readonly number[]): number {
  if (actual.length !== expected.length)
    throw new Error(`${actual.length} values instead of ${expected.length}.`);
  return Math.max(...actual.map((value, i) => Math.abs(value / expected[i]! - 1)));
}
