import type { JobRequest, Plan } from '@headstart/contracts';
import { type EngineName, type EngineSettings, prefixCompilerOf, selectEngine } from '@headstart/engines';
import { buildNetwork, loadBaseWeights, type Network } from '@headstart/training';
import { resolvePlan } from '@headstart/training/plan';
import * as tf from '@tensorflow/tfjs-core';
import { openPrefix } from '../../packages/training/dist/features/prefix.js';
import { createOptimizer } from '../../packages/training/dist/optimizers/index.js';
import { trainStep } from '../../packages/training/dist/train-step.js';
import { type Case, firstLayerOf } from './cases.js';

const CLASSES = Array.from({ length: 10 }, (_, index) => `class${index}`);

export interface Prepared {
  /** Engine, versions and settings, in words. */
  description: string;
  /** Does the case's work once. */
  run(): Promise<void>;
}

/** Starts an engine and makes ready what the case needs, the way the worker does. @throws AppError if the engine cannot. */
export async function prepare(
  engine: EngineName,
  settings: EngineSettings,
  benchCase: Case,
): Promise<Prepared> {
  const { work, firstBlock } = benchCase;
  const runtime = await selectEngine(engine, { trainsConvolutions: work === 'step' }, settings);
  const versions = Object.entries(runtime.versions).map(([part, version]) => `${part} ${version}`);
  const description = [...versions, `on ${runtime.device}`].join(', ');
  if (work === 'gemm') return { description, run: gemm(benchCase.size) };

  const plan = resolvePlan(requestOf(benchCase), { classes: CLASSES });
  const nothingToFetch = () => Promise.reject(new Error('Random weights come from no file.'));
  const weights = await loadBaseWeights(plan, { fetchFile: nothingToFetch, imagenetFile: nothingToFetch });
  const network = buildNetwork(plan, weights);
  if (work === 'features') return { description, run: await features(engine, plan, network, benchCase) };
  const firstLayer = firstLayerOf(firstBlock);
  const inputShape = plan.layers[firstLayer - 1]!.outputShape as number[];
  const xs = tf.tidy(() => {
    const values = tf.randomUniform([benchCase.batch, ...inputShape], 0, 255, 'float32', 1);
    return firstBlock === 1 ? tf.sub(values, 110) : values;
  });
  if (work === 'step') return { description, run: step(plan, network, xs, firstLayer) };
  const forward = async () => {
    const output = tf.tidy(() => network.apply(xs, firstLayer, plan.layers.length));
    await output.data();
    output.dispose();
  };
  return { description, run: forward };
}

function requestOf({ work, size, batch, firstTrainedBlock, learningRate }: Case): JobRequest {
  return {
    datasetUri: 'file:///none',
    scenario: 'large-similar',
    freezeLayers: work !== 'step' || firstTrainedBlock === 1 ? 'none' : `block${firstTrainedBlock - 1}_pool`,
    model: { weights: 'random', inputSize: size, head: [] },
    training: {
      batchSize: batch,
      epochs: 1,
      optimizer: { type: 'sgd', momentum: 0.9, nesterov: false },
      learningRate,
    },
  };
}

function gemm(side: number): () => Promise<void> {
  const [a, b] = [1, 2].map((seed) => tf.randomUniform<tf.Rank.R2>([side, side], 0, 1, 'float32', seed));
  return async () => {
    // One value, so that fetching the others from a GPU is not measured.
    const corner = tf.tidy(() => tf.slice(tf.matMul(a!, b!), [0, 0], [1, 1]));
    await corner.data();
    corner.dispose();
  };
}

/** As the feature phase does it: the prefix compiled where the engine can, pictures in, values out. */
async function features(
  engine: EngineName,
  plan: Plan,
  network: Network,
  { size, batch, firstTrainedBlock }: Case,
): Promise<() => Promise<void>> {
  const picture = tf.randomUniform([size, size, 3], 0, 255, 'float32', 1);
  const values = await picture.data<'float32'>();
  picture.dispose();
  const pictures = Array<Float32Array>(batch).fill(values);
  const prefix = openPrefix(plan, network, [firstLayerOf(firstTrainedBlock)], prefixCompilerOf(engine));
  return async () => void (await prefix.run(pictures));
}

function step(plan: Plan, network: Network, xs: tf.Tensor, cachedLayers: number): () => Promise<void> {
  const stage = { ...plan.stages.at(-1)!, cachedLayers };
  const variables = network.variablesOf(stage.trainedLayers);
  const optimizer = createOptimizer(stage.optimizer, variables);
  const labels = Array.from({ length: xs.shape[0] }, (_, index) => index % CLASSES.length);
  const context = { plan, stage, network, variables, optimizer, classWeights: CLASSES.map(() => 1) };
  return async () => {
    const { loss } = await trainStep(context, xs, labels, stage.learningRate, (layer) => layer);
    if (!Number.isFinite(loss)) throw new Error(`The loss became ${loss}.`);
  };
}
