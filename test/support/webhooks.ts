import { randomUUID } from 'node:crypto';
import type { WebhookEvent } from '@headstart/contracts';
import { addWebhook, type WebhookReceiver, type WebhookRecord } from '@headstart/queue';
import { createUrlGuard } from '@headstart/storage';
import { createWebhookWorker, type WebhookWorkerOptions } from '@headstart/worker';
import { pino } from 'pino';
import { poll } from './poll.js';
import { openQueueParts, type QueueParts } from './queue.js';
import { LOOPBACK } from './storage.js';

export const EVENT: WebhookEvent = {
  type: 'job.succeeded',
  timestamp: '2026-01-01T00:00:00.000Z',
  data: {
    id: 'one',
    status: 'succeeded',
    artifacts: null,
    error: null,
    metadata: {},
    createdAt: '2026-01-01T00:00:00.000Z',
    startedAt: null,
    finishedAt: null,
    metrics: null,
    progress: null,
  },
};

/** A queue of webhooks of the test's own, and what sends them. */
export interface Webhooks {
  parts: QueueParts;
  /** Starts a worker as the service has it, but for what is named here. */
  startSending(options?: Partial<WebhookWorkerOptions>): void;
  /** Queues an event, of a new job unless told otherwise. @returns its id. */
  send(receiver: WebhookReceiver, jobId?: string): Promise<string>;
  ended(id: string, state: 'completed' | 'failed'): Promise<WebhookRecord>;
  close(): Promise<void>;
}

export function openWebhooks(redisUrl: string, secret: string): Webhooks {
  const parts = openQueueParts(redisUrl);
  const workers: ReturnType<typeof createWebhookWorker>[] = [];
  return {
    parts,
    startSending(options = {}) {
      const worker = createWebhookWorker({
        redis: parts.redis,
        prefix: parts.prefix,
        logger: pino({ level: 'silent' }),
        secrets: [secret],
        retryDelaysSeconds: [0.05, 0.05, 0.05],
        timeoutMs: 5000,
        guard: createUrlGuard(LOOPBACK),
        lockDurationMs: 30_000,
        stalledIntervalMs: 15_000,
        ...options,
      });
      workers.push(worker);
      void worker.run();
    },
    async send(receiver, jobId = randomUUID()) {
      const event = { ...EVENT, data: { ...EVENT.data, id: jobId } };
      const { id } = await addWebhook(parts.webhooks, { version: 1, event, ...receiver });
      return id ?? '';
    },
    ended(id, state) {
      return poll(`webhook ${id} to be ${state}`, async () => {
        // In this order: the other way round the record may be of before it came to that.
        const hasEnded = (await parts.webhooks.getJobState(id)) === state;
        return hasEnded ? ((await parts.webhooks.getJob(id)) ?? null) : null;
      });
    },
    async close() {
      await Promise.all(workers.map((worker) => worker.close(true)));
      await parts.close();
    },
  };
}
