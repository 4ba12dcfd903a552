import { AppError, type Job } from '@headstart/contracts';
import {
  addJob,
  cancelJob,
  type CancelParts,
  createCancelChannel,
  createJobQueue,
  type createRedis,
  createWebhookQueue,
  findJob,
  jobNotFound,
  type JobPayload,
  toJob,
  watchRedis,
} from '@headstart/queue';
import fp from 'fastify-plugin';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

/** The queue as the routes see it. Everything rejects with `queue_unavailable` within a second if Redis is away. */
export interface JobsPort {
  check(): Promise<void>;
  add(id: string, payload: JobPayload, priority: number): Promise<Job>;
  /** @throws AppError('job_not_found') */
  get(id: string): Promise<Job>;
  /** @throws AppError('job_not_found') and AppError('job_ended') */
  cancel(id: string): Promise<Job>;
}

declare module 'fastify' {
  interface FastifyInstance {
    jobs: JobsPort;
  }
}

type Redis = ReturnType<typeof createRedis>;
const ANSWER_WITHIN_MS = 900;
const CLOSE_WITHIN_MS = 2000;

/** Connects the app to the queue. Redis may be away at the start and at any time after. */
export const queuePlugin = fp<{ redis: Redis; prefix: string }>(
  async (app, { redis, prefix }) => {
    watchRedis(redis, {
      up: () => app.log.info('Redis answers'),
      down: (err) => app.log.error({ err }, 'Redis is away: jobs are refused until it is back'),
    });
    const queues = openQueuesOnce(redis, prefix);

    async function ask<T>(work: (parts: CancelParts) => Promise<T>): Promise<T> {
      const answered = new AbortController();
      try {
        return await Promise.race([
          connected(redis, answered.signal).then(queues.open).then(work),
          delay(ANSWER_WITHIN_MS, undefined, { signal: answered.signal }).then(() => {
            throw new Error(`Redis did not answer within ${ANSWER_WITHIN_MS} ms`);
          }),
        ]);
      } catch (error) {
        throw error instanceof AppError ? error : queueUnavailable(error);
      } finally {
        answered.abort();
      }
    }

    app.decorate('jobs', {
      check: () =>
        ask(async () => {
          await redis.ping();
        }),
      add: (id, payload, priority) =>
        ask(async ({ jobs }) => toJob(await addJob(jobs, id, payload, priority))),
      get: (id) =>
        ask(async ({ jobs }) => {
          const record = await findJob(jobs, id);
          if (!record) throw jobNotFound(id);
          return toJob(record);
        }),
      cancel: (id) => ask((parts) => cancelJob(parts, id)),
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
  let current: { parts: CancelParts; ready: Promise<CancelParts> } | undefined;

  async function start(parts: CancelParts): Promise<CancelParts> {
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
    open(): Promise<CancelParts> {
      if (!current) {
        const parts = {
          redis,
          jobs: createJobQueue(redis, prefix),
          webhooks: createWebhookQueue(redis, prefix),
          channel: createCancelChannel(redis, prefix),
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

async function closeParts({ jobs, webhooks, channel }: CancelParts): Promise<void> {
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
