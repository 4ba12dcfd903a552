import { randomUUID } from 'node:crypto';
import {
  AppError,
  type Job,
  PROGRESS_EVERY_SECONDS,
  WebhookEvent,
  type WebhookEventType,
} from '@headstart/contracts';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { DELIVERIES_KEPT_SECONDS } from './deliveries.js';
import type { QueueParts } from './parts.js';
import {
  type JobRecord,
  PAYLOAD_VERSION,
  tenantOf,
  type WebhookPayload,
  type WebhookReceiver,
  type WebhookRecord,
} from './payload.js';
import { toJob } from './to-job.js';
import { listEndpoints } from './webhook-endpoints.js';

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
      removeOnComplete: { age: DELIVERIES_KEPT_SECONDS },
      removeOnFail: { age: DELIVERIES_KEPT_SECONDS },
    },
  });
  // See createJobQueue.
  queue.on('error', () => undefined);
  return queue;
}

/**
 * The `webhook-id` of a job's event for a receiver, and the id of its record, which the queue takes once. It has no full stop, which would
 * split the signed text.
 * @param receiverId of an endpoint; null: the job's own webhook.
 */
export function webhookId(jobId: string, type: WebhookEventType, receiverId: string | null): string {
  const event = `${jobId}_${type.replaceAll('.', '_')}`;
  return receiverId === null ? event : `${event}_${receiverId}`;
}

/** Whose log a webhook's tries are in: the endpoint's, or that of the job whose own webhook it is. */
export function receiverIdOf(payload: WebhookPayload): string {
  return 'endpoint' in payload ? payload.endpoint.id : payload.event.data.id;
}

/**
 * Queues an event that was queued before for one more try, under the same `webhook-id`.
 * @param receiverId see `receiverIdOf`. @throws AppError('delivery_not_found') where that receiver has no such event, or has it no longer.
 */
export async function replayWebhook(
  queue: Queue<WebhookPayload>,
  receiverId: string,
  id: string,
): Promise<void> {
  const record = WEBHOOK_ID.test(id) ? await queue.getJob(id) : undefined;
  if (!record || receiverIdOf(record.data) !== receiverId)
    throw new AppError(
      'delivery_not_found',
      `There is no event with the webhook id "${id}" to send there again. How a job ended is kept for 30 days, its progress is not.`,
    );
  const replay: WebhookPayload = { ...record.data, replayOf: id };
  const once = { attempts: 1, removeOnComplete: true, removeOnFail: true };
  await queue.add('send', replay, { ...once, jobId: `${id}_replay_${randomUUID()}` });
}

/** BullMQ looks ids up among its own keys. */
const WEBHOOK_ID = /^[0-9a-f-]{36}_job_[a-z]+(_[0-9a-f-]{36})?$/;

/** Queues a webhook, once for each job, type of event and receiver; progress once for each of these within a time. */
export function addWebhook(queue: Queue<WebhookPayload>, payload: WebhookPayload): Promise<WebhookRecord> {
  const { type, data } = payload.event;
  const jobId = webhookId(data.id, type, 'endpoint' in payload ? payload.endpoint.id : null);
  if (type !== 'job.progress') return queue.add('send', payload, { jobId });
  return queue.add('send', payload, {
    jobId: `${jobId}_${Date.now()}`,
    deduplication: { id: jobId, ttl: PROGRESS_EVERY_SECONDS * 1000 },
    // The next one says more than another try of this one could.
    attempts: 1,
    removeOnComplete: true,
    removeOnFail: true,
  });
}

type Parts = Pick<QueueParts, 'redis' | 'prefix' | 'webhooks'>;

/** Who has asked for an event of a job: the job's own webhook, and the endpoints of its tenant. */
export async function findReceivers(
  parts: Parts,
  { data }: JobRecord,
  type: WebhookEventType,
): Promise<WebhookReceiver[]> {
  const { webhook } = data.request;
  const tenant = tenantOf(data);
  const receivers: WebhookReceiver[] = webhook?.events.includes(type) ? [{ url: webhook.url }] : [];
  for (const { id, enabled, events } of await listEndpoints(parts, tenant))
    if (enabled && events.includes(type)) receivers.push({ endpoint: { tenant, id } });
  return receivers;
}

export function toEvent(job: Job, type: WebhookEventType, timestamp: string): WebhookEvent {
  // The schema drops the parts of the job that the event leaves out.
  return WebhookEvent.parse({
    type,
    timestamp,
    data: { ...job, metrics: job.metrics.at(-1) ?? null },
  });
}

export async function queueEvent(
  queue: Queue<WebhookPayload>,
  receivers: WebhookReceiver[],
  event: WebhookEvent,
): Promise<void> {
  await Promise.all(
    receivers.map((receiver) => addWebhook(queue, { version: PAYLOAD_VERSION, event, ...receiver })),
  );
}

/** Queues `job.progress` for everyone who has asked for it and was told of nothing within the last seconds. */
export async function queueProgress(parts: Parts, record: JobRecord): Promise<void> {
  const receivers = await findReceivers(parts, record, 'job.progress');
  if (receivers.length === 0) return;
  const event = toEvent(await toJob(record), 'job.progress', new Date().toISOString());
  await queueEvent(parts.webhooks, receivers, event);
}
