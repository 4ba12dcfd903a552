import { join } from 'node:path';
import { AppError, type EpochMetrics } from '@headstart/contracts';
import type { NamedArrays } from './arrays.js';
import {
  type BestEpoch,
  checkpointName,
  readCheckpoint,
  readVariables,
  type RunningEpoch,
  writeCheckpoint,
} from './checkpoint.js';
import { type Evaluation, TrainingInterrupted, type TrainOptions } from './run.js';
import { digestOfRun } from './run-digest.js';
import type { StepContext } from './train-step.js';

/** Where a run stands: with the weights and the optimizer, which the backend holds, all that a checkpoint has. */
export interface RunState {
  readonly runDigest: string;
  metrics: EpochMetrics[];
  /** Null between two epochs. */
  running: RunningEpoch | null;
  /** Of the stage. */
  best: BestEpoch | null;
  /** Of the last epoch, if this attempt trained it. */
  evaluation: Evaluation | null;
  /** Null until it has been measured. */
  featureScale: number | null;
  newest: NewestCheckpoint;
}

interface NewestCheckpoint {
  /** Of `performance.now()`; before the first one, when training began. */
  atMs: number;
  /** False as soon as a step has been made behind it. */
  isCurrent: boolean;
  stateDigest: string | null;
}

/** The state that a checkpoint's folder holds, or a new run's; with the former the checkpoint itself. */
export async function openState({ plan, weights, dataset, resumeFrom }: TrainOptions) {
  const runDigest = digestOfRun(plan, weights, dataset);
  const resumed = resumeFrom === null ? null : await readCheckpoint(resumeFrom);
  const checkpoint = resumed?.checkpoint ?? null;
  if (checkpoint !== null && checkpoint.runDigest !== runDigest)
    throw new Error(
      `The checkpoint in ${resumeFrom} is of a run with another plan, data set or base weights.`,
    );
  const state: RunState = {
    runDigest,
    metrics: checkpoint?.metrics ?? [],
    running: checkpoint?.running ?? null,
    best: checkpoint?.best ?? null,
    evaluation: null,
    featureScale: checkpoint?.featureScale ?? null,
    newest: { atMs: performance.now(), isCurrent: true, stateDigest: resumed?.stateDigest ?? null },
  };
  return { state, checkpoint };
}

/**
 * Between two batches: saves a checkpoint where one is due, and ends the run where that is asked for.
 * @throws the signal's reason, TrainingInterrupted, AppError diverged.
 */
export async function betweenBatches(
  options: TrainOptions,
  context: StepContext,
  state: RunState,
): Promise<void> {
  const { plan, signal, interrupt } = options;
  signal.throwIfAborted();
  const { isCurrent, atMs } = state.newest;
  const isDue = performance.now() - atMs >= plan.training.checkpointEverySeconds * 1000;
  if (!isCurrent && (isDue || interrupt.aborted))
    await saveCheckpoint(options, context, state, await readFinite(context, state));
  throwIfInterrupted(options);
}

export function throwIfInterrupted({ interrupt }: TrainOptions): void {
  if (interrupt.aborted) throw new TrainingInterrupted('The job was given back.');
}

/** Saves the state, and hands it over. @param weights as they are now. */
export async function saveCheckpoint(
  options: TrainOptions,
  { optimizer, stage }: StepContext,
  state: RunState,
  weights: NamedArrays,
): Promise<void> {
  const { runDigest, metrics, running, best } = state;
  const epoch = metrics.length;
  const step = running?.step ?? 0;
  const directory = join(options.workDir, 'checkpoints', checkpointName(epoch, step));
  const stateDigest = await writeCheckpoint(directory, {
    epoch,
    running,
    seed: options.plan.training.seed,
    runDigest,
    featureScale: state.featureScale!,
    weights,
    optimizer: { type: stage.optimizer.type, ...(await optimizer.state()) },
    metrics,
    best,
  });
  state.newest = { atMs: performance.now(), isCurrent: true, stateDigest };
  await options.onCheckpoint({ directory, epoch, step, isBest: step === 0 && best?.epoch === epoch });
}

/**
 * The weights that the stage trains.
 * @throws AppError diverged. A rectifier may turn NaN into 0 and hide it from the loss; no checkpoint is ever written
 *   with it.
 */
export async function readFinite({ variables }: StepContext, { metrics }: RunState): Promise<NamedArrays> {
  const weights = await readVariables(variables);
  const epochsDone = metrics.length;
  for (const [name, { values }] of weights) {
    if (!values.every(Number.isFinite))
      throw diverged(
        `The weights ${name} are no longer finite numbers in epoch ${epochsDone + 1}.`,
        epochsDone,
      );
  }
  return weights;
}

/** @param epochsDone epochs that ended well; the one behind them did not. */
export function diverged(what: string, epochsDone: number): AppError {
  return new AppError('diverged', `${what} Lower training.learningRate, or add warm-up epochs.`, {
    details: { epoch: epochsDone + 1, lastCheckpointEpoch: epochsDone || null },
  });
}
