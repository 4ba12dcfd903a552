import { join } from 'node:path';
import {
  AppError,
  type Dataset,
  EpochMetrics,
  type FeatureUse,
  type ObjectStore,
  type ObjectStores,
  type Phase,
  type Plan,
  printableUri,
  type Progress,
  type Runtime,
} from '@headstart/contracts';
import { checkRefusedShare, createPictureLoader, drawTransform, openDataset } from '@headstart/dataset';
import { prefixCompilerOf } from '@headstart/engines';
import { createStores } from '@headstart/storage';
import { type BaseWeights, type DrawFlip, exportRun, train, type TrainedRun } from '@headstart/training';
import { resolvePlan } from '@headstart/training/plan';
import type { Assignment, FromTrainer } from '../trainer-protocol.js';
import { type Checkpoints, createCheckpoints } from './checkpoints.js';
import { startEngine } from './engine.js';
import { openFeatureCache } from './feature-cache.js';
import { explainOutOfMemory } from './out-of-memory.js';
import { createMeter, phaseBegins } from './progress.js';
import { artifactsOf, publish, readManifest, REPORT, uploadJson, writeJson } from './publish.js';
import { createProgressThrottle } from './throttle.js';
import { loadWeights } from './weights.js';

const PROGRESS_INTERVAL_MS = 250;
const MAX_METRICS_BYTES = 64 * 1024 * 1024;

export interface Signals {
  /** Aborted with an AppError: the job has to end. */
  stop: AbortSignal;
  /** Aborted with a TrainingInterrupted: the job is given back. */
  interrupt: AbortSignal;
}

/** What every phase works with. */
interface Attempt {
  assignment: Assignment;
  stores: ObjectStores;
  /** The job's own folder. */
  store: ObjectStore;
  checkpoints: Checkpoints;
  signals: Signals;
  /** Either of the two: for all that can be left at any moment and done again. */
  signal: AbortSignal;
  say(message: FromTrainer): void;
  report(progress: Progress): void;
  begin(phase: Phase): void;
}

/**
 * Runs one attempt of a job, phase by phase, from its data set to its manifest.
 *
 * @param say hears everything but how it ended, which is the promise's to say.
 * @throws AppError, or TrainingInterrupted when it was asked to give the job back.
 */
export async function runAssignment(
  assignment: Assignment,
  signals: Signals,
  say: (message: FromTrainer) => void,
): Promise<void> {
  const stores = createStores(assignment.storage);
  const store = stores.open(assignment.outputUri);
  const signal = AbortSignal.any([signals.stop, signals.interrupt]);
  const checkpoints = createCheckpoints(stores, store, signals.stop);
  const throttle = createProgressThrottle(
    (progress) => say({ type: 'progress', progress }),
    PROGRESS_INTERVAL_MS,
  );
  const attempt: Attempt = {
    assignment,
    stores,
    store,
    checkpoints,
    signals,
    signal,
    say,
    report: (progress) => throttle.report(progress),
    begin: (phase) => throttle.report(phaseBegins(phase)),
  };
  try {
    await runPhases(attempt);
  } catch (error) {
    throw withLastCheckpoint(error, checkpoints.newestUri());
  } finally {
    throttle.flush();
    stores.close();
  }
}

async function runPhases(attempt: Attempt): Promise<void> {
  const { assignment, signal } = attempt;
  if (await reportFinished(attempt)) return;
  // Before anything is downloaded: a plan that the engine cannot train is refused at the start.
  const runtime = await startEngine(assignment, needsOf(assignment.plan));
  attempt.say({ type: 'runtime', runtime });

  attempt.begin('dataset');
  const dataset = await openJobDataset(attempt);

  attempt.begin('plan');
  const { request, jobModelUri } = assignment;
  const plan = resolvePlan(request, {
    classes: dataset.classes,
    ...(jobModelUri !== null && { jobModelUri }),
  });
  attempt.say({ type: 'plan', plan });
  const weights = await loadWeights(attempt, plan);
  const resumed = await attempt.checkpoints.downloadNewest(assignment.workDir);
  attempt.say({ type: 'history', metrics: resumed?.metrics ?? [] });
  if (resumed) {
    const fields = { epochs: resumed.metrics.length };
    attempt.say({ type: 'log', level: 'info', message: 'going on from a checkpoint', fields });
  }
  signal.throwIfAborted();

  const features: FeatureUse[] = [];
  const run = await trainPlan(attempt, {
    plan,
    weights,
    dataset,
    runtime,
    resumeFrom: resumed?.directory ?? null,
    onFeatures: (use) => features.push(use),
  });
  signal.throwIfAborted();

  attempt.begin('export');
  const directory = join(assignment.workDir, 'export');
  const paths = await exportRun(run, directory);
  await writeJson(directory, REPORT, dataset.report);
  await writeJson(directory, 'job.json', jobRecord(assignment, plan, run, runtime));
  signal.throwIfAborted();

  attempt.begin('upload');
  const meter = createMeter('upload');
  const manifest = await publish({
    store: attempt.store,
    directory,
    paths: [...paths, REPORT, 'job.json'],
    uploaded: await attempt.checkpoints.files(),
    manifest: {
      jobId: assignment.jobId,
      attempt: assignment.attempt,
      exportedEpoch: run.exportedEpoch,
      weightsDigest: weights.digest,
      datasetDigest: dataset.report.digest,
      seed: plan.training.seed,
      runtime,
      features,
    },
    signal,
    onProgress: (done, total) => attempt.report(meter({ done, total, unit: 'bytes' })),
  });
  sayPublished(attempt, [...manifest.files.map(({ path }) => path), 'manifest.json']);
}

/** An earlier attempt may have finished the job and have been lost before it could say so. */
async function reportFinished({ store, say, ...attempt }: Attempt): Promise<boolean> {
  const manifest = await readManifest(store);
  if (!manifest) return false;
  const lines = Buffer.from(await store.readBytes('metrics.jsonl', MAX_METRICS_BYTES)).toString();
  const metrics = lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => EpochMetrics.parse(JSON.parse(line)));
  say({ type: 'runtime', runtime: manifest.runtime });
  say({ type: 'history', metrics });
  sayPublished({ store, say, ...attempt }, [...manifest.files.map(({ path }) => path), 'manifest.json']);
  return true;
}

async function openJobDataset(attempt: Attempt): Promise<Dataset> {
  const { assignment, stores, store, signal } = attempt;
  const { request, plan, workDir, cacheDir, datasetLimits } = assignment;
  const meter = createMeter('dataset');
  const dataset = await openDataset({
    uri: request.datasetUri,
    stores,
    workDir,
    limits: datasetLimits,
    classes: request.model?.classes ?? null,
    validationSplit: plan.training.validationSplit,
    seed: plan.training.seed,
    knownDir: join(cacheDir, 'pictures'),
    signal,
    onProgress: (count) => attempt.report(meter(count)),
  });
  // Early: a user who sees what was refused can cancel before the training costs anything.
  await uploadJson(store, REPORT, dataset.report, signal);
  sayPublished(attempt, [REPORT]);
  checkRefusedShare(dataset.report, datasetLimits);
  return dataset;
}

interface TrainingInputs {
  plan: Plan;
  weights: BaseWeights;
  dataset: Dataset;
  runtime: Runtime;
  resumeFrom: string | null;
  onFeatures(use: FeatureUse): void;
}

async function trainPlan(
  attempt: Attempt,
  { plan, weights, dataset, runtime, resumeFrom, onFeatures }: TrainingInputs,
): Promise<TrainedRun> {
  const { assignment, checkpoints, signals, say } = attempt;
  const featureCache = openFeatureCache(assignment, runtime, say);
  const { augmentation, seed } = plan.training;
  const pictures = createPictureLoader({
    size: plan.inputSize,
    limits: assignment.datasetLimits,
    augmentation,
    seed,
  });
  let phase: Phase = 'features';
  const trained = train({
    plan,
    weights,
    dataset,
    loadPicture: ({ file }, augment) => pictures.load(file, augment),
    drawFlip: flipDrawer(plan),
    featureCache: featureCache.options,
    compilePrefix: prefixCompilerOf(runtime.engine),
    workDir: assignment.workDir,
    resumeFrom,
    signal: signals.stop,
    interrupt: signals.interrupt,
    onPhase(next) {
      phase = next;
      attempt.begin(next);
    },
    onProgress: (progress) => attempt.report(progress),
    onFeatures(use) {
      say({ type: 'log', level: 'info', message: 'features are at hand', fields: use });
      onFeatures(use);
    },
    // Behind the upload: an epoch that is reported can be gone on from.
    async onEpoch({ metrics, checkpointDir, isBest }) {
      await checkpoints.upload(checkpointDir, metrics.epoch, isBest);
      say({ type: 'epoch', metrics });
    },
  });
  return trained
    .catch((error: unknown) => {
      throw explainOutOfMemory(error, phase, plan);
    })
    .finally(async () => {
      await pictures.close();
      featureCache.close();
    });
}

function flipDrawer({ inputSize, training: { augmentation, seed } }: Plan): DrawFlip {
  return (picture) =>
    augmentation !== null && drawTransform(augmentation, inputSize, { seed, ...picture }).flip;
}

function needsOf({ layers, stages }: Plan): { trainsConvolutions: boolean } {
  const convolutions = new Set(layers.filter(({ type }) => type === 'Conv2D').map(({ name }) => name));
  return {
    trainsConvolutions: stages.some(({ trainedLayers }) =>
      trainedLayers.some((name) => convolutions.has(name)),
    ),
  };
}

/** job.json: what was asked for, what was made of it, and how it came out. */
function jobRecord({ jobId, request, attempt }: Assignment, plan: Plan, run: TrainedRun, runtime: Runtime) {
  return {
    id: jobId,
    request: withoutQueries(request),
    plan: withoutQueries(plan),
    attempts: attempt,
    runtime,
    epochs: run.metrics.length,
    exportedEpoch: run.exportedEpoch,
    metrics: run.metrics.find(({ epoch }) => epoch === run.exportedEpoch) ?? null,
  };
}

const URI_FIELDS = ['datasetUri', 'weights', 'uri', 'url'];

/** A copy for a file that is kept: the query of a URL may hold a signature. */
function withoutQueries<T>(value: T): T {
  const print = (field: string, held: unknown) =>
    URI_FIELDS.includes(field) && typeof held === 'string' ? printableUri(held) : held;
  return JSON.parse(JSON.stringify(value, print)) as T;
}

function sayPublished({ store, say }: Pick<Attempt, 'store' | 'say'>, paths: string[]): void {
  say({ type: 'artifacts', artifacts: artifactsOf(store, paths) });
}

/** A job that ends by itself leaves its checkpoints; its error says where the last one is. */
function withLastCheckpoint(error: unknown, lastCheckpointUri: string | null): unknown {
  if (!(error instanceof AppError)) return error;
  if (error.code !== 'diverged' && error.code !== 'timed_out') return error;
  return new AppError(error.code, error.message, {
    retryable: error.retryable,
    ...(error.errors && { errors: error.errors }),
    details: { ...error.details, lastCheckpointUri },
    cause: error,
  });
}
