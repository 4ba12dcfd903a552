import { AppError } from '@headstart/contracts';
import {
  announceEnding,
  appendEvent,
  decideEnding,
  findJob,
  type JobEnding,
  type JobPayload,
  type JobRecord,
  readPayload,
  toQueueError,
  updatePayload,
  type WebhookPayload,
} from '@headstart/queue';
import { type Queue, WaitingError } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { WorkerConfig } from '../config.js';
import type { AttemptMetrics, WorkerMetrics } from '../metrics/metrics.js';
import { type Assignment, EngineChoice, stopError } from '../trainer-protocol.js';
import { createJobWriter } from './job-writer.js';
import { countWorkersHere } from './machine.js';
import { type Outcome, startTrainer, type TrainerReport } from './run-trainer.js';
import { createReporter } from './report.js';
import type { Reserve } from './reserve.js';
import { callAt } from './timer.js';
import { stalledError, watchProgress } from './watch-progress.js';
import { makeWorkFolder, removeWorkFolder } from './work-folder.js';

export interface SupervisorParts {
  config: WorkerConfig;
  redis: Redis;
  jobs: Queue<JobPayload>;
  webhooks: Queue<WebhookPayload>;
  logger: Logger;
  metrics: WorkerMetrics;
  reserve: Reserve;
  /** Aborted when the worker shuts down: give the jobs back. */
  shutdown: AbortSignal;
  /** Aborted when the grace is over: end the trainers at once. */
  kill: AbortSignal;
}

/** What the supervisor can do to an attempt from outside, by job id. */
export interface RunningAttempt {
  attempt: number;
  /** Another worker has the job: end this attempt, and leave the job's record alone. */
  abandon(): void;
  /** End its training at the next step, and publish what it came to. */
  finish(): void;
}

type Ending = Outcome | { type: 'abandoned' };

/**
 * Makes BullMQ's processor. One attempt of a job:
 *
 *   starting -> running -> done         the record becomes completed
 *                       -> failed       a retryable error waits for the next attempt; any other, or the last, is final
 *                       -> interrupted  back to the queue, no attempt counted: the worker shuts down
 *                       -> abandoned    another worker has it, as the queue says: nothing is written
 *                       -> superseded   the same, as the object store says
 *
 * What the job's end owes others, its webhooks, is queued before the record changes, and before that how the job ends is decided for
 * good. A worker that dies in between leaves the job to another one, which ends it as decided, and queues the same webhooks, each of
 * which is made once.
 */
export function createProcessor(parts: SupervisorParts, running: Map<string, RunningAttempt>) {
  return async function processJob(
    job: JobRecord,
    token: string | undefined,
    signal: AbortSignal | undefined,
  ) {
    const logger = parts.logger.child({
      jobId: job.id,
      requestId: job.data.requestId,
      attempt: job.attemptsStarted,
    });
    const metrics = parts.metrics.attemptStarted();
    const ending = await runAttempt(parts, running, job, { signal, logger, metrics });
    metrics.ended(ending.type, ending.type === 'failed' ? ending.error.code : null);
    logger.info(
      { ending: ending.type, ...(ending.type === 'failed' && { err: ending.error }) },
      'attempt ended',
    );
    switch (ending.type) {
      case 'done':
        return endJob(parts, job, { status: 'succeeded', error: null });
      case 'failed':
        if (isFinal(job, ending.error)) {
          const status = ending.error.code === 'canceled' ? 'canceled' : 'failed';
          return endJob(parts, job, { status, error: ending.error.toJobError() });
        }
        await sayQueued(parts, job, ending.error);
        throw toQueueError(ending.error);
      case 'interrupted':
        await job.moveToWait(token);
        await sayQueued(parts, job, null);
        throw new WaitingError('The worker shuts down, and has given the job back.');
      case 'abandoned':
      case 'superseded':
        throw new WaitingError('Another worker has the job.');
    }
  };
}

/** Runs an attempt from its start to its end; whatever goes wrong becomes a failed ending. */
async function runAttempt(
  parts: SupervisorParts,
  running: Map<string, RunningAttempt>,
  job: JobRecord,
  context: Context,
): Promise<Ending> {
  const { config, redis, jobs } = parts;
  const jobId = job.id ?? '';
  let folder: string | null = null;
  try {
    const payload = await readPayload(redis, job);
    if (payload === null) return { type: 'abandoned' };
    if (payload.ending) {
      const { error } = payload.ending;
      return error ? { type: 'failed', error: AppError.fromJobError(error) } : { type: 'done' };
    }
    if (payload.canceledAt !== null) throw stopError('canceled', payload.plan);
    const startedAt = payload.startedAt ?? new Date().toISOString();
    await updatePayload(redis, job, () => ({ startedAt }));
    const deadlineMs = deadlineOf(payload, startedAt);
    if (deadlineMs !== null && deadlineMs <= Date.now()) throw stopError('timed_out', payload.plan);
    if (parts.shutdown.aborted) return { type: 'interrupted' };

    folder = await makeWorkFolder(config.workDir, jobId, job.attemptsStarted, async (id) => {
      const record = await findJob(jobs, id);
      return record !== undefined && (await record.getState()) !== 'active';
    });
    // A lost connection to Redis may hide this one.
    const engineSharers = Math.max(1, await countWorkersHere(jobs));
    const assignment = assignmentOf(config, job, payload, { workDir: folder, engineSharers });
    return await superviseTrainer(parts, running, job, assignment, { ...context, deadlineMs });
  } catch (error) {
    return { type: 'failed', error: AppError.from(error) };
  } finally {
    if (folder !== null) {
      await removeWorkFolder(folder).catch((err: unknown) =>
        context.logger.warn({ err, folder }, 'the work folder could not be removed'),
      );
    }
  }
}

/** Of one attempt. */
interface Context {
  /** Aborted when the job is canceled. */
  signal: AbortSignal | undefined;
  logger: Logger;
  metrics: AttemptMetrics;
}

/** Runs the trainer, writes what it reports, and passes on to it what comes from outside. */
async function superviseTrainer(
  { config, redis, webhooks, reserve, shutdown, kill }: SupervisorParts,
  running: Map<string, RunningAttempt>,
  job: JobRecord,
  assignment: Assignment,
  { deadlineMs, signal, logger, metrics }: Context & { deadlineMs: number | null },
): Promise<Ending> {
  let isAbandoned = false;
  const parts = { redis, prefix: config.queuePrefix, webhooks };
  const heed = ({ canceledAt, finishRequestedAt }: JobPayload) => {
    if (canceledAt !== null) trainer.stop('canceled');
    if (finishRequestedAt !== undefined) trainer.finish();
  };
  const writer = createJobWriter(parts, job, assignment.attempt, logger, heed);
  const choice = EngineChoice.parse(assignment);
  const report = createReporter(writer, { logger, metrics });
  const onReport = (message: TrainerReport) => {
    watch.progressed();
    report(message);
  };
  const trainer = startTrainer(reserve.take(choice), assignment, logger, onReport);
  const watch = watchProgress(trainer.pid, config.stallTimeoutMs, () => {
    const error = stalledError(config.stallTimeoutMs);
    report({ type: 'warning', message: error.message });
    trainer.fail(error);
  });
  const abandon = () => {
    isAbandoned = true;
    writer.abandon();
    trainer.kill();
  };
  const forget = [
    onAbort(signal, () => trainer.stop('canceled')),
    onAbort(shutdown, () => trainer.interrupt()),
    onAbort(kill, () => trainer.kill()),
    ...(deadlineMs === null ? [] : [callAt(deadlineMs, () => trainer.stop('timed_out'))]),
  ];
  running.set(assignment.jobId, { attempt: assignment.attempt, abandon, finish: () => trainer.finish() });
  // What was asked for before this attempt could hear it.
  heed(job.data);
  logger.info({ trainerPid: trainer.pid }, 'attempt started');
  writer.event({ type: 'status', status: 'running', attempt: assignment.attempt, error: null });
  try {
    const outcome = await trainer.outcome;
    await writer.drained();
    return isAbandoned ? { type: 'abandoned' } : outcome;
  } finally {
    running.delete(assignment.jobId);
    // Not beside the job: it has the cores and the memory for itself.
    reserve.refill(choice);
    watch.end();
    for (const stop of forget) stop();
  }
}

/** Has the job end, as it was decided before if it was. Returns where it succeeds, and throws BullMQ's error otherwise. */
async function endJob(
  { config, redis, webhooks }: SupervisorParts,
  job: JobRecord,
  end: Pick<JobEnding, 'status' | 'error'>,
): Promise<void> {
  const at = new Date().toISOString();
  const ending = await decideEnding(redis, job, { ...end, at }, job.attemptsStarted);
  if (ending === null) throw new WaitingError('Another worker has the job.');
  await announceEnding({ redis, prefix: config.queuePrefix, webhooks }, job, ending);
  if (ending.error) throw toQueueError(AppError.fromJobError(ending.error));
}

/** Tells those who listen that the job waits for another attempt. */
async function sayQueued(
  { config, redis }: SupervisorParts,
  job: JobRecord,
  error: AppError | null,
): Promise<void> {
  const parts = { redis, prefix: config.queuePrefix };
  await appendEvent(parts, job.id ?? '', {
    type: 'status',
    status: 'queued',
    attempt: job.attemptsStarted,
    error: error?.toJobError() ?? null,
  });
}

/** Whether BullMQ will end the job with that error. */
function isFinal(job: JobRecord, error: AppError): boolean {
  return !error.retryable || job.attemptsMade + 1 >= (job.opts.attempts ?? 1);
}

function deadlineOf({ plan }: JobPayload, startedAt: string): number | null {
  const seconds = plan.training.maxDurationSeconds;
  return seconds === null ? null : Date.parse(startedAt) + seconds * 1000;
}

function assignmentOf(
  config: WorkerConfig,
  job: JobRecord,
  payload: JobPayload,
  here: Pick<Assignment, 'workDir' | 'engineSharers'>,
): Assignment {
  const { request, plan, jobModelUri, outputUri, uriPrefixes = null } = payload;
  const { cacheDir, engine, engineThreads, imagenetWeightsUrl, featureCache, storage, datasetLimits } =
    config;
  return {
    jobId: job.id ?? '',
    attempt: job.attemptsStarted,
    request,
    plan,
    jobModelUri,
    outputUri,
    uriPrefixes,
    ...here,
    cacheDir,
    engine,
    engineThreads,
    imagenetWeightsUrl,
    featureCache,
    storage,
    datasetLimits,
  };
}

/** Calls `listener` when the signal is aborted, at once if it is already. @returns a function that calls it off. */
function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal?.aborted) listener();
  signal?.addEventListener('abort', listener, { once: true });
  return () => signal?.removeEventListener('abort', listener);
}
