import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, type EpochMetrics, type Picture, type Stage } from '@headstart/contracts';
import type { NamedArrays } from './arrays.js';
import { batchesInOrder, type BatchSource, forEachBatch, pictureSource, splitBatches } from './batches.js';
import {
  assignVariables,
  type BestEpoch,
  type Checkpoint,
  checkpointName,
  readCheckpoint,
  readVariables,
  writeCheckpoint,
} from './checkpoint.js';
import { exportsBest, isBetter, monitored, ranOutOfPatience } from './early-stopping.js';
import { prepareFeatures } from './features/compute.js';
import { measureFeatureScale } from './features/scale.js';
import { classWeightsOf } from './loss.js';
import { buildNetwork, type Network } from './network.js';
import { createOptimizer } from './optimizers/index.js';
import { ProgressMeter } from './progress.js';
import { generatorFor, permutation } from './random.js';
import { type Evaluation, type TrainedRun, TrainingInterrupted, type TrainOptions } from './run.js';
import { learningRateAt } from './schedule.js';
import { evaluateStep, type StepContext, trainStep } from './train-step.js';

/** Where a run stands between two epochs. */
interface RunState {
  metrics: EpochMetrics[];
  best: BestEpoch | null;
  evaluation: Evaluation | null;
  /** Null until it has been measured. */
  featureScale: number | null;
}

type Sources = Record<'train' | 'val', BatchSource>;

/**
 * Trains a plan: the stages one behind the other, each epoch by epoch with a checkpoint behind it.
 *
 * Everything random is drawn from the plan's seed, the epoch and the step, so a run that goes on from a checkpoint
 * draws what it would have drawn without the stop.
 * @throws AppError diverged (with `lastCheckpointEpoch`), the signal's reason, TrainingInterrupted, or what loading and
 * writing reject with.
 */
export async function train(options: TrainOptions): Promise<TrainedRun> {
  const { plan, dataset } = options;
  const resumed = options.resumeFrom === null ? null : await readCheckpoint(options.resumeFrom);
  let network = buildNetwork(plan, options.weights, resumed?.featureScale ?? 1);
  const state: RunState = {
    metrics: resumed?.metrics ?? [],
    best: resumed?.best ?? null,
    evaluation: null,
    featureScale: resumed?.featureScale ?? null,
  };

  let stageEnd = 0;
  for (const [index, stage] of plan.stages.entries()) {
    const isLast = index === plan.stages.length - 1;
    const stageStart = stageEnd;
    stageEnd += stage.epochs;
    // A stage that an earlier attempt finished; the last one is entered all the same, for its evaluation.
    if (state.metrics.length >= stageEnd && !isLast) {
      if (resumed?.epoch === stageEnd)
        assignVariables(network.variablesOf(stage.trainedLayers), resumed.weights);
      continue;
    }
    if (state.metrics.length === stageStart) state.best = null;
    const { sources, close } = await openSources(options, network, stage);
    try {
      if (state.featureScale === null) {
        state.featureScale = await measureFeatureScale(
          plan,
          network,
          stage,
          sources.train,
          dataset.train.length,
        );
        network.dispose();
        network = buildNetwork(plan, options.weights, state.featureScale);
      }
      await runStage(options, {
        network,
        stage,
        stageStart,
        sources,
        state,
        isLast,
        resumed: state.metrics.length > stageStart ? resumed : null,
      });
    } finally {
      await close();
    }
  }
  const exportedEpoch = exportsBest(plan) ? state.best!.epoch : state.metrics.length;
  return {
    plan,
    network,
    val: dataset.val,
    metrics: state.metrics,
    exportedEpoch,
    evaluation: state.evaluation!,
  };
}

interface StageRun {
  network: Network;
  stage: Stage;
  /** Epochs of the stages before. */
  stageStart: number;
  sources: Sources;
  state: RunState;
  isLast: boolean;
  /** The checkpoint of this stage to go on from. */
  resumed: Checkpoint | null;
}

async function runStage(options: TrainOptions, run: StageRun): Promise<void> {
  const { plan } = options;
  const { network, stage, stageStart, state, isLast } = run;
  const variables = network.variablesOf(stage.trainedLayers);
  const optimizer = createOptimizer(stage.optimizer, variables);
  const labels = options.dataset.train.map(({ label }) => label);
  const context: StepContext = {
    plan,
    stage,
    network,
    variables,
    optimizer,
    classWeights: classWeightsOf(plan, labels),
  };
  try {
    if (run.resumed) {
      assignVariables(variables, run.resumed.weights);
      optimizer.restore(run.resumed.optimizer.step, run.resumed.optimizer.slots);
    }
    options.onPhase('training');
    const steps = stepsPerEpoch(options);
    const meter = new ProgressMeter(
      'training',
      'steps',
      plan.training.epochs * steps,
      state.metrics.length * steps,
    );
    while (
      state.metrics.length < stageStart + stage.epochs &&
      !(isLast && ranOutOfPatience(plan, state.metrics.length, state.best))
    ) {
      throwIfInterrupted(options);
      const { metrics, evaluation } = await trainEpoch(options, context, run, meter);
      const weights = await readVariables(variables);
      checkFinite(weights, state.metrics.length);
      state.metrics.push(metrics);
      state.evaluation = evaluation;
      const isBest = isBetter(plan, metrics, state.best);
      if (isBest)
        state.best = {
          epoch: metrics.epoch,
          value: monitored(plan, metrics),
          weights: exportsBest(plan) ? weights : null,
        };
      await saveCheckpoint(
        options,
        state,
        { weights, optimizer: { type: stage.optimizer.type, ...(await optimizer.state()) } },
        isBest,
      );
    }
    if (isLast) await restoreExported(options, context, run);
  } finally {
    optimizer.dispose();
  }
}

/** One pass over the training pictures, then one over the validation pictures. */
async function trainEpoch(
  options: TrainOptions,
  context: StepContext,
  run: StageRun,
  meter: ProgressMeter,
): Promise<{ metrics: EpochMetrics; evaluation: Evaluation }> {
  const { plan, dataset, signal } = options;
  const { stage } = context;
  const epoch = run.state.metrics.length + 1;
  const steps = stepsPerEpoch(options);
  const startedAt = performance.now();
  const order = permutation(dataset.train.length, generatorFor(plan.training.seed, 'order', epoch));
  const batches = splitBatches(order, plan.training.batchSize);
  const picturesBefore = (epoch - 1 - (run.resumed?.epoch ?? run.stageStart)) * dataset.train.length;
  let learningRate = 0;
  let lossSum = 0;
  let correct = 0;
  let seen = 0;
  await forEachBatch(run.sources.train, batches, epoch, async (xs, indices, step) => {
    signal.throwIfAborted();
    const labels = Array.from(indices, (index) => dataset.train[index]!.label);
    learningRate = learningRateAt(stage, (epoch - 1 - run.stageStart) * steps + step, steps);
    const result = await trainStep(
      context,
      xs,
      labels,
      learningRate,
      (layer) => `${plan.training.seed}/dropout/${epoch}/${step}/${layer}`,
    );
    if (!Number.isFinite(result.loss))
      throw diverged(
        `The loss became ${result.loss} in step ${step + 1} of epoch ${epoch}.`,
        run.state.metrics.length,
      );
    lossSum += result.loss * indices.length;
    correct += result.correct;
    seen += indices.length;
    const position = { epoch, epochs: plan.training.epochs, step: step + 1, steps };
    options.onProgress(meter.at((epoch - 1) * steps + step + 1, picturesBefore + seen, position));
  });
  const evaluation = await evaluate(options, context, run.sources.val);
  if (!Number.isFinite(evaluation.loss))
    throw diverged(
      `The validation loss became ${evaluation.loss} in epoch ${epoch}.`,
      run.state.metrics.length,
    );
  const seconds = (performance.now() - startedAt) / 1000;
  const metrics: EpochMetrics = {
    epoch,
    stage: stage.name,
    loss: lossSum / seen,
    accuracy: correct / seen,
    valLoss: evaluation.loss,
    valAccuracy: evaluation.accuracy,
    learningRate,
    seconds,
    picturesPerSecond: (seen + dataset.val.length) / seconds,
  };
  return { metrics, evaluation };
}

async function evaluate(
  { plan, dataset, signal }: TrainOptions,
  context: StepContext,
  source: BatchSource,
): Promise<Evaluation> {
  const classCount = plan.classes!.length;
  const probabilities: Float32Array[] = [];
  let lossSum = 0;
  let correct = 0;
  await forEachBatch(
    source,
    batchesInOrder(dataset.val.length, plan.training.batchSize),
    null,
    async (xs, indices) => {
      signal.throwIfAborted();
      const labels = Array.from(indices, (index) => dataset.val[index]!.label);
      const result = await evaluateStep(context, xs, labels);
      lossSum += result.loss * indices.length;
      correct += result.correct;
      indices.forEach((_, row) =>
        probabilities.push(result.probabilities.slice(row * classCount, (row + 1) * classCount)),
      );
    },
  );
  return { loss: lossSum / dataset.val.length, accuracy: correct / dataset.val.length, probabilities };
}

/** Puts the exported epoch's weights back, and evaluates them where they are not the ones evaluated last. */
async function restoreExported(
  options: TrainOptions,
  context: StepContext,
  { state, sources }: StageRun,
): Promise<void> {
  const best = exportsBest(options.plan) ? state.best : null;
  if (best?.weights) assignVariables(context.variables, best.weights);
  const isEvaluated = state.evaluation !== null && (best === null || best.epoch === state.metrics.length);
  if (!isEvaluated) state.evaluation = await evaluate(options, context, sources.val);
}

async function saveCheckpoint(
  options: TrainOptions,
  state: RunState,
  stage: Pick<Checkpoint, 'weights' | 'optimizer'>,
  isBest: boolean,
): Promise<void> {
  const epoch = state.metrics.length;
  const checkpointDir = join(options.workDir, 'checkpoints', checkpointName(epoch));
  await writeCheckpoint(checkpointDir, {
    epoch,
    seed: options.plan.training.seed,
    ...stage,
    featureScale: state.featureScale!,
    metrics: state.metrics,
    best: state.best,
  });
  await options.onEpoch({ metrics: state.metrics.at(-1)!, checkpointDir, isBest });
  await rm(checkpointDir, { recursive: true });
}

async function openSources(
  options: TrainOptions,
  network: Network,
  stage: Stage,
): Promise<{ sources: Sources; close(): Promise<void> }> {
  const { plan, weights, dataset, loadPicture, drawFlip, featureCache, onProgress, compilePrefix } = options;
  if (stage.cachedLayers === 0) {
    const open = (pictures: readonly Picture[]) =>
      pictureSource(pictures, plan.inputSize, loadPicture, plan.training.augmentation !== null);
    return {
      sources: { train: open(dataset.train), val: open(dataset.val) },
      close: () => Promise.resolve(),
    };
  }
  options.onPhase('features');
  const { sources, use, close } = await prepareFeatures({
    plan,
    stage,
    weights,
    network,
    pictures: dataset,
    loadPicture,
    // Other changes than flips leave nothing that could be cached.
    drawFlip: plan.training.augmentation?.flip ? drawFlip : null,
    cache: featureCache,
    onProgress,
    compilePrefix,
    checkpoint() {
      options.signal.throwIfAborted();
      throwIfInterrupted(options);
    },
  });
  options.onFeatures(use);
  return { sources, close };
}

function stepsPerEpoch({ plan, dataset }: TrainOptions): number {
  return Math.ceil(dataset.train.length / plan.training.batchSize);
}

function throwIfInterrupted({ interrupt }: TrainOptions): void {
  if (interrupt.aborted) throw new TrainingInterrupted('The job was given back.');
}

/** A rectifier may turn NaN into 0 and hide it from the loss; no checkpoint is ever written with it. */
function checkFinite(weights: NamedArrays, epochsDone: number): void {
  for (const [name, { values }] of weights) {
    if (!values.every(Number.isFinite))
      throw diverged(
        `The weights ${name} are no longer finite numbers after epoch ${epochsDone + 1}.`,
        epochsDone,
      );
  }
}

function diverged(what: string, lastCheckpointEpoch: number): AppError {
  return new AppError('diverged', `${what} Lower training.learningRate, or add warm-up epochs.`, {
    details: { epoch: lastCheckpointEpoch + 1, lastCheckpointEpoch: lastCheckpointEpoch || null },
  });
}
