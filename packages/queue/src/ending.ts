import type { Redis } from 'ioredis';
import type { QueueParts } from './parts.js';
import type { JobEnding, JobRecord } from './payload.js';
import { toJob } from './to-job.js';
import { updatePayload } from './update-payload.js';
import { findReceivers, queueEvent, toEvent } from './webhook-queue.js';

/**
 * Decides how a job ends. The first who asks decides, and everybody else is told what it was: a worker that dies between the webhooks of a
 * job's end and the end itself leaves the job to another, for which it may come out otherwise, as it may for a client that cancels the
 * job meanwhile.
 * @param attempt of the worker that asks: where another attempt has started since, nothing is decided.
 * @returns the ending that counts; null where the job is gone, or another attempt's.
 */
export async function decideEnding(
  redis: Redis,
  record: JobRecord,
  ending: JobEnding,
  attempt?: number,
): Promise<JobEnding | null> {
  const keep = ({ ending: decided }: JobRecord['data']) => (decided ? {} : { ending });
  return (await updatePayload(redis, record, keep, attempt))?.ending ?? null;
}

/** Queues the webhooks of a job's end. It can be called again, by anybody: each is made once. */
export async function announceEnding(
  parts: Pick<QueueParts, 'redis' | 'prefix' | 'webhooks'>,
  record: JobRecord,
  { status, error, at }: JobEnding,
): Promise<void> {
  const receivers = await findReceivers(parts, record, `job.${status}`);
  const job = { ...(await toJob(record)), status, error, finishedAt: at };
  await queueEvent(parts.webhooks, receivers, toEvent(job, `job.${status}`, at));
}
