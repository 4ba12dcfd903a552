import {
  AppError,
  type Dataset,
  type ErrorCode,
  type FeatureUse,
  type Phase,
  type Plan,
  type Runtime,
} from '@headstart/contracts';
import { createPictureLoader, drawTransform } from '@headstart/dataset';
import { prefixCompilerOf } from '@headstart/engines';
import {
  type BaseWeights,
  type DrawFlip,
  train,
  type TrainedRun,
  TrainingInterrupted,
} from '@headstart/training';
import type { Attempt } from './attempt.js';
import type { Checkpoints, Resumed } from './checkpoints.js';
import { openFeatureCache } from './feature-cache.js';
import { explainOutOfMemory } from './out-of-memory.js';
import { createUploader, type Uploader } from './uploader.js';

/** How long a finished training waits for a store that is away, before the attempt fails and another one tries. */
const LAST_UPLOAD_PATIENCE_MS = 600_000;
/** Less than a trainer that was told to stop has left. */
const ENDING_PATIENCE_MS = 20_000;
const CANCELED_PATIENCE_MS = 2500;
/** Errors that say where the checkpoints are. */
export const LEAVES_CHECKPOINTS: readonly ErrorCode[] = ['diverged', 'timed_out', 'canceled'];

/** The newest checkpoint that this run can go on from, brought here. */
export async function findCheckpoint(
  { assignment, checkpoints, signal, say }: Attempt,
  runDigest: string,
): Promise<Resumed | null> {
  const onUnusable = (uri: string, reason: string) =>
    say({
      type: 'warning',
      message: `The checkpoint ${uri} cannot be used: ${reason}. An older one is looked for.`,
    });
  const resumed = await checkpoints.downloadNewest(assignment.workDir, runDigest, signal, onUnusable);
  say({ type: 'history', metrics: resumed?.metrics ?? [] });
  sayCheckpoint(checkpoints, say);
  if (resumed) {
    const fields = { epochs: resumed.epoch, steps: resumed.step };
    say({ type: 'log', level: 'info', message: 'going on from a checkpoint', fields });
  }
  return resumed;
}

export interface TrainingInputs {
  plan: Plan;
  weights: BaseWeights;
  dataset: Dataset;
  runtime: Runtime;
  resumeFrom: string | null;
  onFeatures(use: FeatureUse): void;
}

export async function trainPlan(
  attempt: Attempt,
  { plan, weights, dataset, runtime, resumeFrom, onFeatures }: TrainingInputs,
): Promise<TrainedRun> {
  const { assignment, uploader, signals, say } = attempt;
  const featureCache = openFeatureCache(assignment, runtime, say);
  const { augmentation, seed } = plan.training;
  const pictures = createPictureLoader({
    size: plan.inputSize,
    limits: assignment.datasetLimits,
    augmentation,
    seed,
  });
  let phase: Phase = 'features';
  try {
    return await train({
      plan,
      weights,
      dataset,
      loadPicture: ({ file }, augment) => pictures.load(file, augment),
      drawFlip: flipDrawer(plan),
      featureCache: featureCache.options,
      compilePrefix: prefixCompilerOf(runtime.engine),
      workDir: assignment.workDir,
      resumeFrom,
      signal: AbortSignal.any([signals.stop, uploader.lost]),
      interrupt: signals.interrupt,
      finish: signals.finish,
      onPhase(next) {
        phase = next;
        attempt.begin(next);
      },
      onProgress: (progress) => attempt.report(progress),
      onFeatures(use) {
        say({ type: 'log', level: 'info', message: 'features are at hand', fields: use });
        say({ type: 'features', use });
        onFeatures(use);
      },
      onEpoch: (metrics) => say({ type: 'epoch', metrics }),
      async onCheckpoint(checkpoint) {
        uploader.add(checkpoint);
      },
    });
  } catch (error) {
    await leaveCheckpoints(uploader, error);
    throw explainOutOfMemory(error, phase, plan);
  } finally {
    await pictures.close();
    featureCache.close();
  }
}

/** Waits until the checkpoints of a run that has trained to its end are in the store. @throws the signal's reason. */
export async function bringUpCheckpoints({ uploader, signal }: Attempt): Promise<void> {
  try {
    await uploader.drain(LAST_UPLOAD_PATIENCE_MS, signal);
  } catch (error) {
    await leaveCheckpoints(uploader, error);
    throw error;
  }
}

/** Waits for the last checkpoint of a run that did not end well. Whatever comes of it, the error is why the run ended. */
async function leaveCheckpoints(uploader: Uploader, error: unknown): Promise<void> {
  const patienceMs = patienceAfter(error);
  if (patienceMs > 0)
    await uploader.drain(patienceMs, AbortSignal.timeout(patienceMs)).catch(() => undefined);
}

/** How long that is worth waiting for, in ms. */
function patienceAfter(error: unknown): number {
  if (error instanceof TrainingInterrupted) return LAST_UPLOAD_PATIENCE_MS;
  if (!(error instanceof AppError) || !LEAVES_CHECKPOINTS.includes(error.code)) return 0;
  return error.code === 'canceled' ? CANCELED_PATIENCE_MS : ENDING_PATIENCE_MS;
}

function flipDrawer({ inputSize, training: { augmentation, seed } }: Plan): DrawFlip {
  return (picture) =>
    augmentation !== null && drawTransform(augmentation, inputSize, { seed, ...picture }).flip;
}

export function uploaderOf(
  { plan }: Attempt['assignment'],
  checkpoints: Checkpoints,
  say: Attempt['say'],
  signal: AbortSignal,
): Uploader {
  return createUploader({
    async upload(checkpoint) {
      await checkpoints.upload(checkpoint);
      // Before any is removed: whenever this process is killed, those that it named last are there.
      sayCheckpoint(checkpoints, say);
      await checkpoints.prune();
    },
    onFailed: (error) => say({ type: 'checkpointError', error: error.toJobError() }),
    lateAfterMs: plan.training.checkpointEverySeconds * 1000,
    signal,
  });
}

export function sayCheckpoint(checkpoints: Checkpoints, say: Attempt['say']): void {
  const newest = checkpoints.newest();
  const checkpoint = newest && { ...newest, at: new Date().toISOString() };
  say({ type: 'checkpoint', checkpoint, uris: checkpoints.uris() });
}
