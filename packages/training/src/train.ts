import type { EpochMetrics, Picture, Stage } from '@headstart/contracts';
import type * as tf from '@tensorflow/tfjs-core';
import { type BatchSource, forEachBatch, pictureSource, splitBatches } from './batches.js';
import { assignVariables, type Checkpoint } from './checkpoint.js';
import { exportsBest, isBetter, monitored, ranOutOfPatience } from './early-stopping.js';
import { evaluate } from './evaluate.js';
import { prepareFeatures } from './features/compute.js';
import { measureFeatureScale } from './features/scale.js';
import { classWeightsOf } from './loss.js';
import { buildNetwork, type Network } from './network.js';
import { createOptimizer } from './optimizers/index.js';
import { type EpochPosition, ProgressMeter } from './progress.js';
import { generatorFor, permutation } from './random.js';
import type { TrainedRun, TrainOptions } from './run.js';
import {
  betweenBatches,
  diverged,
  openState,
  readFinite,
  type RunState,
  saveCheckpoint,
  throwIfInterrupted,
} from './run-state.js';
import { learningRateAt } from './schedule.js';
import { type StepContext, trainStep } from './train-step.js';

type Sources = Record<'train' | 'val', BatchSource>;

/**
 * Trains a plan: the stages one behind the other, each epoch by epoch, with a checkpoint behind every epoch and, within
 * a long one, every `checkpointEverySeconds`.
 *
 * Everything random is drawn from the plan's seed, the epoch and the step, so a run that goes on from a checkpoint
 * draws what it would have drawn without the stop.
 * @throws AppError diverged (with `lastCheckpointEpoch`), the signal's reason, TrainingInterrupted, or what loading and
 * writing reject with.
 */
export async function train(options: TrainOptions): Promise<TrainedRun> {
  const { plan, dataset } = options;
  const { state, checkpoint } = await openState(options);
  let network = buildNetwork(plan, options.weights, state.featureScale ?? 1);

  let stageEnd = 0;
  let isOver = false;
  for (const [index, stage] of plan.stages.entries()) {
    const isLast = index === plan.stages.length - 1;
    const stageStart = stageEnd;
    stageEnd += stage.epochs;
    // A stage that an earlier attempt finished; the last one is entered all the same, for its evaluation.
    if (state.metrics.length >= stageEnd && !isLast) {
      if (checkpoint?.epoch === stageEnd && checkpoint.running === null)
        assignVariables(network.variablesOf(stage.trainedLayers), checkpoint.weights);
      continue;
    }
    const isBegun = state.metrics.length > stageStart || state.running !== null;
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
      const resumed = isBegun ? checkpoint : null;
      isOver = await runStage(options, { network, stage, stageStart, sources, state, isLast, resumed });
    } finally {
      await close();
    }
    if (isOver) break;
  }
  const exportedEpoch = exportsBest(plan) ? state.best!.epoch : state.metrics.length;
  return {
    plan,
    network,
    val: dataset.val,
    metrics: state.metrics,
    exportedEpoch,
    evaluation: state.evaluation!,
    stateDigest: state.newest.stateDigest!,
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

/** @returns whether the run ends with this stage. */
async function runStage(options: TrainOptions, run: StageRun): Promise<boolean> {
  const { plan, dataset, finish } = options;
  const { network, stage, stageStart, state } = run;
  const variables = network.variablesOf(stage.trainedLayers);
  const optimizer = createOptimizer(stage.optimizer, variables);
  const labels = dataset.train.map(({ label }) => label);
  const classWeights = classWeightsOf(plan, labels);
  const context: StepContext = { plan, stage, network, variables, optimizer, classWeights };
  try {
    if (run.resumed) {
      assignVariables(variables, run.resumed.weights);
      optimizer.restore(run.resumed.optimizer.step, run.resumed.optimizer.slots);
    }
    options.onPhase('training');
    const steps = stepsPerEpoch(options);
    const stepsDone = () => state.metrics.length * steps + (state.running?.step ?? 0);
    const picturesSeen = () => state.metrics.length * dataset.train.length + (state.running?.seen ?? 0);
    const meter = new ProgressMeter('training', 'steps', plan.training.epochs * steps, stepsDone());
    const seenBefore = picturesSeen();
    const report = (position: EpochPosition) =>
      options.onProgress(meter.at(stepsDone(), picturesSeen() - seenBefore, position));
    const isFinished = () => finish.aborted && state.metrics.length > 0 && state.running === null;
    const isEnough = () =>
      isFinished() || (run.isLast && ranOutOfPatience(plan, state.metrics.length, state.best));
    // Unless the run ends here: then the best is one of the stage before.
    if (state.metrics.length === stageStart && !isFinished()) state.best = null;
    while (state.metrics.length < stageStart + stage.epochs && !isEnough()) {
      throwIfInterrupted(options);
      const metrics = await trainEpoch(options, context, run, report);
      const weights = await readFinite(context, state);
      state.metrics.push(metrics);
      state.running = null;
      if (isBetter(plan, metrics, state.best))
        state.best = {
          epoch: metrics.epoch,
          value: monitored(plan, metrics),
          weights: exportsBest(plan) ? weights : null,
        };
      options.onEpoch(metrics);
      await saveCheckpoint(options, context, state, weights);
    }
    const isOver = run.isLast || finish.aborted;
    if (isOver) await restoreExported(options, context, run);
    return isOver;
  } finally {
    optimizer.dispose();
  }
}

/** One pass over the training pictures, or what is left of it, then one over the validation pictures. */
async function trainEpoch(
  options: TrainOptions,
  context: StepContext,
  { state, sources, stageStart }: StageRun,
  report: (position: EpochPosition) => void,
): Promise<EpochMetrics> {
  const { plan, dataset, finish } = options;
  const { stage } = context;
  const epochsBefore = state.metrics.length;
  const epoch = epochsBefore + 1;
  const steps = stepsPerEpoch(options);
  const running = (state.running ??= { step: 0, lossSum: 0, correct: 0, seen: 0, seconds: 0 });
  const startedAt = performance.now() - running.seconds * 1000;
  const secondsNow = () => (performance.now() - startedAt) / 1000;
  const rateAt = (step: number) => learningRateAt(stage, (epochsBefore - stageStart) * steps + step, steps);
  const order = permutation(dataset.train.length, generatorFor(plan.training.seed, 'order', epoch));
  const left = splitBatches(order, plan.training.batchSize).slice(running.step);
  const trainBatch = async (xs: tf.Tensor, indices: Uint32Array) => {
    await betweenBatches(options, context, state);
    const { step } = running;
    const labels = Array.from(indices, (index) => dataset.train[index]!.label);
    const dropoutSeed = (layer: string) => `${plan.training.seed}/dropout/${epoch}/${step}/${layer}`;
    const result = await trainStep(context, xs, labels, rateAt(step), dropoutSeed);
    if (!Number.isFinite(result.loss))
      throw diverged(`The loss became ${result.loss} in step ${step + 1} of epoch ${epoch}.`, epochsBefore);
    running.step++;
    running.lossSum += result.loss * indices.length;
    running.correct += result.correct;
    running.seen += indices.length;
    running.seconds = secondsNow();
    state.newest.isCurrent = false;
    report({ epoch, epochs: plan.training.epochs, step: running.step, steps });
  };
  await forEachBatch(sources.train, left, epoch, trainBatch, finish);
  const evaluation = await evaluate(context, sources.val, dataset.val, () =>
    betweenBatches(options, context, state),
  );
  if (!Number.isFinite(evaluation.loss))
    throw diverged(`The validation loss became ${evaluation.loss} in epoch ${epoch}.`, epochsBefore);
  state.evaluation = evaluation;
  const seconds = secondsNow();
  return {
    epoch,
    stage: stage.name,
    loss: running.lossSum / running.seen,
    accuracy: running.correct / running.seen,
    valLoss: evaluation.loss,
    valAccuracy: evaluation.accuracy,
    learningRate: rateAt(running.step - 1),
    seconds,
    picturesPerSecond: (running.seen + dataset.val.length) / seconds,
  };
}

/** Puts the exported epoch's weights back, and evaluates them where they are not the ones evaluated last. */
async function restoreExported(
  options: TrainOptions,
  context: StepContext,
  { state, sources }: StageRun,
): Promise<void> {
  const best = exportsBest(options.plan) ? state.best : null;
  if (best?.weights) {
    const { weights } = best;
    // Where this stage was not begun they are of the one before, which may have trained fewer layers.
    const restored = context.variables.filter(({ name }) => weights.has(name));
    assignVariables(restored, weights);
  }
  const isEvaluated = state.evaluation !== null && (best === null || best.epoch === state.metrics.length);
  if (isEvaluated) return;
  state.evaluation = await evaluate(context, sources.val, options.dataset.val, () =>
    betweenBatches(options, context, state),
  );
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
