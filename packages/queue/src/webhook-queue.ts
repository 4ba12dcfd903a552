import { type Job, WebhookEvent, type WebhookEventType } from '@headstart/contracts';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { SECONDS_PER_DAY } from './job-queue.js';
import { PAYLOAD_VERSION, type WebhookPayload, type WebhookRecord } from './payload.js';

export const WEBHOOKS_QUEUE = 'webhooks';
/** The worker's backoff strategy for this type holds the schedule, and ends it by returning -1. */
export const WEBHOOK_BACKOFF = 'webhook';

/** Opens the queue of webhooks. It uses `redis` and leaves it open when it is closed. */
export function createWebhookQueue(redis: Redis, prefix: string): Queue<WebhookPayload> {
  const queue = new Queue<WebhookPayload>(WEBHOOKS_QUEUE, {
    connection: redis,
    prefix,
    defaultJobOptions: {
      // More than any schedule has: the schedule says when to stop, not this number.
      attempts: 1000,
      backoff: { type: WEBHOOK_BACKOFF },
      // As long as the longest that a job is kept, since the id of a webhook that is kept stops a second one.
      removeOnComplete: { age: 30 * SECONDS_PER_DAY },
      removeOnFail: { age: 30 * SECONDS_PER_DAY },
    },
  });
  // See createJobQueue.
  queue.on('error', () => undefined);
  return queue;
}

/** Queues a job's webhook, once for each type of event: its id says which. */
export function addWebhook(
  queue: Queue<WebhookPayload>,
  jobId: string,
  payload: WebhookPayload,
): Promise<WebhookRecord> {
  return queue.add('send', payload, { jobId: `${jobId}.${payload.event.type}` });
}

/**
 * The webhook that an ended job asked for, ready to be queued.
 *
 * @returns null where the job has no webhook, wants no event of this type, or has not ended.
 */
export function webhookFor(job: Job): WebhookPayload | null {
  if (job.status === 'queued' || job.status === 'running') return null;
  const type: WebhookEventType = `job.${job.status}`;
  const { webhook } = job.request;
  if (!webhook?.events.includes(type)) return null;
  // The schema drops the parts of the job that the event leaves out.
  const event = WebhookEvent.parse({
    type,
    timestamp: new Date().toISOString(),
    data: { ...job, metrics: job.metrics.at(-1) ?? null },
  });
  return { version: PAYLOAD_VERSION, url: webhook.url, event };
}
