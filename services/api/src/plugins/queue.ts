import { AppError, type Job, type ListQuery } from '@headstart/contracts';
import {
  addJob,
  type ApiKeys,
  cancelJob,
  createCommandChannel,
  createJobQueue,
  type createRedis,
  createWebhookQueue,
  finishJob,
  getRecord,
  type IdempotencyClaim,
  isClaimed,
  jobNotFound,
  type JobEventEntry,
  type JobPayload,
  type JobRecord,
  type JobsPage,
  listJobs,
  type QueueDepths,
  type QueueParts,
  readApiKeys,
  readDepths,
  readEvents,
  removeJob,
  tenantOf,
  toJob,
  watchRedis,
  watchSilence,
} from '@headstart/queue';
import fp from 'fastify-plugin';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

/** A job as it was found: the record to work on, and what a client sees of it. */
export interface FoundJob {
  record: JobRecord;
  job: Job;
}

/**
 * The queue as the routes see it. Everything rejects with `queue_unavailable` within a second if Redis is away.
 * Routes do not find jobs here but through `app.findOwnJob` and `app.listOwnJobs`.
 */
export interface JobsPort {
  check(): Promise<void>;
  depths(): Promise<QueueDepths>;
  /** Null where `known` is still their version. */
  apiKeys(known: string | null): Promise<ApiKeys | null>;
  /** @throws AppError('quota_exceeded') and AppError('idempotency_conflict') */
  add(id: string, payload: JobPayload, priority: number, maxQueued: number | null): Promise<Job>;
  /** @throws AppError('idempotency_conflict') */
  isClaimed(claim: IdempotencyClaim): Promise<boolean>;
  /** Up to `count` events behind the entry `after`, the oldest first. */
  readEvents(id: string, after: string, count: number): Promise<JobEventEntry[]>;
  /**
   * @param tenant whose the job must be; null for anybody's.
   * @throws AppError('job_not_found') and, only where the job is that tenant's, AppError('job_unreadable').
   */
  find(id: string, tenant: string | null): Promise<FoundJob>;
  list(tenant: string, query: Omit<ListQuery, 'cursor'>, cursor: string | null): Promise<JobsPage>;
  /** @throws AppError('job_ended') */
  cancel(record: JobRecord): Promise<Job>;
  /** @throws AppError('job_not_running') and AppError('job_ended') */
  finish(record: JobRecord): Promise<Job>;
  /** @throws AppError('job_not_ended') */
  remove(record: JobRecord): Promise<void>;
}

declare module 'fastify' {
  interface FastifyInstance {
    jobs: JobsPort;
    /** Has the queues do something; rejects as everything of `jobs` does. */
    askQueue<T>(work: (parts: QueueParts) => Promise<T>): Promise<T>;
  }
}

type Redis = ReturnType<typeof createRedis>;
/** A request that Redis does not answer is answered within a second; one that only takes long, before its connection's time limit. */
const SILENCE = { silentMs: 850, totalMs: 10_000 };
const CLOSE_WITHIN_MS = 2000;
const ANSWERED = new Error('The request has its answer.');

/** Connects the app to the queue. Redis may be away at the start and at any time after. */
export const queuePlugin = fp<{ redis: Redis; prefix: string }>(
  async (app, { redis, prefix }) => {
    watchRedis(redis, {
      up: () => app.log.info('Redis answers'),
      down: (err) => app.log.error({ err }, 'Redis is away: jobs are refused until it is back'),
    });
    const queues = openQueuesOnce(redis, prefix);

    async function ask<T>(work: (parts: QueueParts) => Promise<T>): Promise<T> {
      const answered = new AbortController();
      const silence = watchSilence(redis, SILENCE);
      try {
        const answer = connected(redis, answered.signal).then(queues.open).then(work);
        return await Promise.race([answer, silence.broken]);
      } catch (error) {
        throw error instanceof AppError ? error : queueUnavailable(error);
      } finally {
        silence.end();
        // With a reason, or every request would pay for an error that nobody sees.
        answered.abort(ANSWERED);
      }
    }

    app.decorate('askQueue', ask);
    app.decorate('jobs', {
      check: () =>
        ask(async () => {
          await redis.ping();
        }),
      depths: () => ask(readDepths),
      apiKeys: (known) => ask((parts) => readApiKeys(parts, known)),
      add: (id, payload, priority, maxQueued) =>
        ask(async (parts) => toJob((await addJob(parts, id, payload, priority, maxQueued)).record)),
      isClaimed: (claim) => ask((parts) => isClaimed(parts, claim)),
      find: (id, tenant) =>
        ask(async ({ jobs }) => {
          const record = await getRecord(jobs, id);
          if (tenant !== null && tenantOf(record.data) !== tenant) throw jobNotFound(id);
          return { record, job: await toJob(record) };
        }),
      readEvents: (id, after, count) => ask((parts) => readEvents(parts, id, after, count)),
      list: (tenant, query, cursor) => ask((parts) => listJobs(parts, tenant, query, cursor)),
      cancel: (record) => ask((parts) => cancelJob(parts, record)),
      finish: (record) => ask((parts) => finishJob(parts, record)),
      remove: (record) => ask((parts) => removeJob(parts, record)),
    });
    app.addHook('onListen', async () => {
      // Connects before the first request; without Redis the service starts all the same.
      await app.jobs.check().catch(() => undefined);
    });
    app.addHook('onClose', () => queues.close());
  },
  { name: 'queue', dependencies: ['problems'] },
);

/** Makes the connection when it is first needed, and waits for that; one that is lost is an error at once. */
async function connected(redis: Redis, signal: AbortSignal): Promise<void> {
  if (redis.status === 'ready') return;
  // watchRedis reports the reason where it fails.
  if (redis.status === 'wait') redis.connect().catch(() => undefined);
  if (redis.status !== 'connecting' && redis.status !== 'connect')
    throw new Error(`The connection to Redis is "${redis.status}"`);
  await once(redis, 'ready', { signal });
}

/** BullMQ's queues never recover if Redis goes away while they start: those are thrown away and made anew. */
function openQueuesOnce(redis: Redis, prefix: string) {
  let current: { parts: QueueParts; ready: Promise<QueueParts> } | undefined;

  async function start(parts: QueueParts): Promise<QueueParts> {
    try {
      await Promise.all([parts.jobs.waitUntilReady(), parts.webhooks.waitUntilReady()]);
      return parts;
    } catch (error) {
      current = undefined;
      await closeParts(parts);
      throw error;
    }
  }

  return {
    open(): Promise<QueueParts> {
      if (!current) {
        const parts = {
          redis,
          prefix,
          jobs: createJobQueue(redis, prefix),
          webhooks: createWebhookQueue(redis, prefix),
          channel: createCommandChannel(redis, prefix),
        };
        current = { parts, ready: start(parts) };
      }
      return current.ready;
    },
    async close() {
      if (current) await closeParts(current.parts);
    },
  };
}

async function closeParts({ jobs, webhooks, channel }: QueueParts): Promise<void> {
  // The relay signs off, which a Redis that swallows everything never answers.
  await Promise.race([
    Promise.allSettled([channel.close(), jobs.close(), webhooks.close()]),
    delay(CLOSE_WITHIN_MS, undefined, { ref: false }),
  ]);
}

function queueUnavailable(cause: unknown): AppError {
  return new AppError(
    'queue_unavailable',
    'Redis, which holds the queue, does not answer. Try again in a few seconds.',
    { cause },
  );
}
