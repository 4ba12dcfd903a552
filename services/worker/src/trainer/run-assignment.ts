import { join } from 'node:path';
import {
  AppError,
  type Dataset,
  EpochMetrics,
  type FeatureUse,
  type Manifest,
  type ObjectStore,
  type Plan,
} from '@headstart/contracts';
import { checkRefusedShare, openDataset } from '@headstart/dataset';
import { createStores } from '@headstart/storage';
import { digestOfRun, exportRun } from '@headstart/training';
import { resolvePlan } from '@headstart/training/plan';
import type { Assignment, FromTrainer } from '../trainer-protocol.js';
import type { Attempt, Signals } from './attempt.js';
import { type Checkpoints, createCheckpoints } from './checkpoints.js';
import { claimJob, isCommit, underClaim } from './claim.js';
import { startEngine } from './engine.js';
import { jobRecord } from './job-record.js';
import { createMeter, phaseBegins } from './progress.js';
import { artifactsOf, complete, MANIFEST, publish, REPORT, uploadJson, writeJson } from './publish.js';
import { createProgressThrottle } from './throttle.js';
import {
  bringUpCheckpoints,
  findCheckpoint,
  LEAVES_CHECKPOINTS,
  sayCheckpoint,
  trainPlan,
  uploaderOf,
} from './train-plan.js';
import { createUploadThread, type UploadThread } from './upload.js';
import type { Uploader } from './uploader.js';
import { loadWeights } from './weights.js';

const PROGRESS_INTERVAL_MS = 250;
const MAX_METRICS_BYTES = 64 * 1024 * 1024;

/**
 * Runs one attempt of a job, phase by phase, from its data set to its manifest.
 *
 * @param say hears everything but how it ended, which is the promise's to say.
 * @throws AppError, TrainingInterrupted when it was asked to give the job back, or Superseded when another attempt has it.
 */
export async function runAssignment(
  assignment: Assignment,
  signals: Signals,
  say: (message: FromTrainer) => void,
): Promise<void> {
  const all = createStores(assignment.storage);
  const stores = all.within(assignment.uriPrefixes);
  const store = stores.open(assignment.outputUri);
  const signal = AbortSignal.any([signals.stop, signals.interrupt]);
  const throttle = createProgressThrottle(
    (progress) => say({ type: 'progress', progress }),
    PROGRESS_INTERVAL_MS,
  );
  const unwanted = new AbortController();
  let checkpoints: Checkpoints | undefined;
  let uploader: Uploader | undefined;
  let thread: UploadThread | undefined;
  try {
    const claim = await claimJob(store, assignment.attempt);
    // An earlier attempt may have published the job and have been lost before it could say so.
    if (isCommit(claim)) return await reportPublished(store, await complete(store, claim), say);
    thread = createUploadThread({ ...assignment, claim: claim.number }, unwanted.signal);
    checkpoints = createCheckpoints(stores, store, claim, thread.put);
    uploader = uploaderOf(assignment, checkpoints, say, unwanted.signal);
    const attempt: Attempt = {
      assignment,
      stores,
      store,
      claim,
      checkpoints,
      uploader,
      signals,
      signal,
      say,
      report: (progress) => throttle.report(progress),
      begin: (phase) => throttle.report(phaseBegins(phase)),
    };
    await underClaim(claim, () => runPhases(attempt));
  } catch (error) {
    throw withCheckpoints(error, checkpoints);
  } finally {
    unwanted.abort();
    await uploader?.settled();
    await thread?.close();
    throttle.flush();
    all.close();
  }
}

async function runPhases(attempt: Attempt): Promise<void> {
  const { assignment, store, signal } = attempt;
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
  const resumed = await findCheckpoint(attempt, digestOfRun(plan, weights, dataset));
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
  await bringUpCheckpoints(attempt);
  const meter = createMeter('upload');
  const commit = await publish({
    store,
    claim: attempt.claim,
    directory,
    paths: [...paths, REPORT, 'job.json'],
    uploaded: await attempt.checkpoints.adopt(),
    manifest: {
      jobId: assignment.jobId,
      attempt: assignment.attempt,
      exportedEpoch: run.exportedEpoch,
      weightsDigest: weights.digest,
      datasetDigest: dataset.report.digest,
      stateDigest: run.stateDigest,
      seed: plan.training.seed,
      runtime,
      features,
    },
    signal,
    onProgress: (done, total) => attempt.report(meter({ done, total, unit: 'bytes' })),
  });
  sayPublished(store, await complete(store, commit), attempt.say);
  sayCheckpoint(attempt.checkpoints, attempt.say);
}

/** Says what the attempt that published the job would have said. */
async function reportPublished(store: ObjectStore, manifest: Manifest, say: Attempt['say']): Promise<void> {
  const lines = Buffer.from(await store.readBytes('metrics.jsonl', MAX_METRICS_BYTES)).toString();
  const metrics = lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => EpochMetrics.parse(JSON.parse(line)));
  say({ type: 'runtime', runtime: manifest.runtime });
  say({ type: 'history', metrics });
  sayPublished(store, manifest, say);
}

async function openJobDataset(attempt: Attempt): Promise<Dataset> {
  const { assignment, stores, store, claim, signal } = attempt;
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
  await uploadJson(claim, REPORT, dataset.report, signal);
  attempt.say({ type: 'artifacts', artifacts: artifactsOf(store, [REPORT], claim.folder) });
  checkRefusedShare(dataset.report, datasetLimits);
  return dataset;
}

function needsOf({ layers, stages }: Plan): { trainsConvolutions: boolean } {
  const convolutions = new Set(layers.filter(({ type }) => type === 'Conv2D').map(({ name }) => name));
  return {
    trainsConvolutions: stages.some(({ trainedLayers }) =>
      trainedLayers.some((name) => convolutions.has(name)),
    ),
  };
}

function sayPublished(store: ObjectStore, { files }: Manifest, say: Attempt['say']): void {
  say({ type: 'artifacts', artifacts: artifactsOf(store, [...files.map(({ path }) => path), MANIFEST]) });
}

/** Such ends leave checkpoints; the error says where the newest and the best are. */
function withCheckpoints(error: unknown, checkpoints: Checkpoints | undefined): unknown {
  if (!(error instanceof AppError) || !checkpoints) return error;
  if (!LEAVES_CHECKPOINTS.includes(error.code)) return error;
  return new AppError(error.code, error.message, {
    retryable: error.retryable,
    ...(error.errors && { errors: error.errors }),
    details: { ...error.details, ...checkpoints.uris() },
    cause: error,
  });
}
