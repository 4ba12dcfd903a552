import { mkdir } from 'node:fs/promises';
import {
  announceEnding,
  type CommandChannel,
  createCommandChannel,
  createJobQueue,
  createRedis,
  createWebhookQueue,
  decideEnding,
  findJob,
  type JobPayload,
  type JobRecord,
  JOBS_QUEUE,
  settleJob,
  tenantOf,
  toJob,
  watchRedis,
} from '@headstart/queue';
import { createUrlGuard } from '@headstart/storage';
import { Worker } from 'bullmq';
import type { Logger } from 'pino';
import type { WorkerConfig } from '../config.js';
import type { WorkerMetrics } from '../metrics/metrics.js';
import { createWebhookWorker } from '../webhooks/worker.js';
import { EngineChoice } from '../trainer-protocol.js';
import { countWorkersHere, WORKER_NAME } from './machine.js';
import { createProcessor, type RunningAttempt, type SupervisorParts } from './process-job.js';
import { leaveNewerPayload } from './payload-version.js';
import { callNext, leaveBeyondQuota } from './running-quota.js';
import { createReserve } from './reserve.js';

/** How often a job may be lost with its worker. Attempts that fail are counted apart from that. */
const MAX_STALLED_COUNT = 10;

export interface Supervisor {
  /**
   * Takes no more jobs, gives the running one back, and closes every connection.
   * Killing the trainer when the grace is over is part of it; it can still wait for a Redis that is away.
   */
  close(): Promise<void>;
  /** Ends the trainers at once. */
  kill(): void;
}

/** Starts taking jobs and sending webhooks. Resolves when both are under way. */
export async function startSupervisor(
  config: WorkerConfig,
  logger: Logger,
  metrics: WorkerMetrics,
): Promise<Supervisor> {
  await Promise.all([
    mkdir(config.workDir, { recursive: true }),
    mkdir(config.cacheDir, { recursive: true }),
  ]);
  const { queuePrefix: prefix } = config;
  const redis = createRedis(config.redisUrl, 'worker');
  watchRedis(redis, {
    up: () => logger.info('Redis answers'),
    down: (err) => logger.warn({ err }, 'Redis does not answer; what runs goes on'),
  });
  const shutdown = new AbortController();
  const kill = new AbortController();
  const jobs = createJobQueue(redis, prefix);
  const webhooks = createWebhookQueue(redis, prefix);
  const channel = createCommandChannel(redis, prefix);
  const reserve = createReserve(config.trainerEnvironment, logger);
  const parts: SupervisorParts = {
    config,
    redis,
    jobs,
    webhooks,
    logger,
    metrics,
    reserve,
    shutdown: shutdown.signal,
    kill: kill.signal,
  };
  const running = new Map<string, RunningAttempt>();
  const worker = createJobWorker(parts, running);
  const guard = createUrlGuard(config.storage.allowedNetworks);
  const webhookWorker = createWebhookWorker({
    ...config.webhooks,
    redis,
    prefix,
    logger,
    guard,
    lockDurationMs: config.lockDurationMs,
    stalledIntervalMs: config.stalledIntervalMs,
  });
  webhookWorker.on('completed', (_job, { isDelivered }) => {
    if (isDelivered) metrics.webhookSent('delivered');
  });
  webhookWorker.on('failed', (job) =>
    metrics.webhookSent(job?.finishedOn === undefined ? 'failed' : 'given_up'),
  );
  if (config.webhooks.secrets.length === 0)
    logger.warn('WEBHOOK_SECRET is not set: webhooks wait until a worker has it');

  await subscribeToCommands(channel, worker, running, logger);
  await Promise.all([worker.waitUntilReady(), webhookWorker.waitUntilReady()]);
  reserve.refill(EngineChoice.parse({ ...config, engineSharers: await countWorkersHere(jobs) }));
  run(worker, logger);
  run(webhookWorker, logger);

  return {
    async close() {
      shutdown.abort();
      reserve.close();
      const timer = setTimeout(() => kill.abort(), config.shutdownGraceMs);
      await Promise.all([worker.close(), webhookWorker.close()]);
      clearTimeout(timer);
      await Promise.all([channel.close(), jobs.close(), webhooks.close()]);
      redis.disconnect();
    },
    kill: () => kill.abort(),
  };
}

function createJobWorker(parts: SupervisorParts, running: Map<string, RunningAttempt>): Worker<JobPayload> {
  const { config, redis, logger } = parts;
  const processJob = createProcessor(parts, running);
  const quotas = { redis, prefix: config.queuePrefix, jobs: parts.jobs };
  const worker = new Worker<JobPayload>(
    JOBS_QUEUE,
    // BullMQ hands over the signal only to a function that declares exactly these three.
    async (job, token, signal) => {
      await leaveNewerPayload(job, token, logger);
      await leaveBeyondQuota(quotas, job, token, logger);
      await processJob(job, token, signal);
    },
    {
      connection: redis,
      name: WORKER_NAME,
      prefix: config.queuePrefix,
      concurrency: 1,
      autorun: false,
      lockDuration: config.lockDurationMs,
      stalledInterval: config.stalledIntervalMs,
      maxStalledCount: MAX_STALLED_COUNT,
    },
  );
  worker.on('error', (err) => logger.debug({ err }, 'job worker'));
  worker.on('stalled', (jobId) => logger.warn({ jobId }, 'its worker was lost; the job is queued again'));
  const settle = (job: JobRecord, succeeded: boolean) =>
    settleJob({ redis, prefix: config.queuePrefix }, job, succeeded).catch((err: unknown) =>
      logger.error({ err, jobId: job.id }, 'listeners were not told that the job has ended'),
    );
  const letNext = (job: JobRecord) => void callNext(quotas, tenantOf(job.data), logger);
  worker.on('completed', (job) => {
    void settle(job, true);
    letNext(job);
  });
  worker.on('failed', (job) => {
    if (job) letNext(job);
    // A job that BullMQ fails by itself, since its workers were lost too often, has passed no processor.
    if (job?.finishedOn === undefined) return;
    void settle(job, false);
    announceFailure(parts, job.id ?? '').catch((err: unknown) =>
      logger.error({ err }, 'webhooks not queued'),
    );
  });
  worker.on('lockRenewalFailed', (jobIds) => {
    for (const jobId of jobIds) {
      leaveToOther(parts, jobId, running.get(jobId)).catch((err: unknown) =>
        logger.warn({ err, jobId }, 'nothing is known of the lost lock'),
      );
    }
  });
  return worker;
}

async function announceFailure(
  { config, redis, jobs, webhooks }: SupervisorParts,
  jobId: string,
): Promise<void> {
  const record = await findJob(jobs, jobId);
  if (!record) return;
  const { status, error, finishedAt } = await toJob(record);
  if (status === 'queued' || status === 'running' || finishedAt === null) return;
  const ending = await decideEnding(redis, record, { status, error, at: finishedAt });
  if (ending) await announceEnding({ redis, prefix: config.queuePrefix, webhooks }, record, ending);
}

/**
 * The lock ran out, as it does when Redis was away for long. The attempt goes on, since its manifest counts whoever
 * writes the record, but not beside another worker's.
 */
async function leaveToOther(
  { jobs, logger }: SupervisorParts,
  jobId: string,
  attempt: RunningAttempt | undefined,
): Promise<void> {
  const record = await findJob(jobs, jobId);
  if (!attempt || !record || record.attemptsStarted === attempt.attempt) return;
  logger.warn({ jobId }, 'another worker has the job: this attempt ends');
  attempt.abandon();
}

async function subscribeToCommands(
  channel: CommandChannel,
  worker: Worker<JobPayload>,
  running: Map<string, RunningAttempt>,
  logger: Logger,
): Promise<void> {
  await channel.subscribe(({ type, jobId }) => {
    if (type === 'cancel' && worker.cancelJob(jobId, 'canceled'))
      logger.info({ jobId }, 'the job is canceled');
    if (type === 'finish') running.get(jobId)?.finish();
  });
}

function run(worker: Worker, logger: Logger): void {
  // It runs until it is closed; there is nobody to wait for it.
  worker.run().catch((err: unknown) => logger.fatal({ err, queue: worker.name }, 'the worker stopped'));
}
