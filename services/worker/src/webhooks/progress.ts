import {
  type JobPayload,
  jobKey,
  receiverIdOf,
  sendingKey,
  type WebhookPayload,
  type WebhookRecord,
} from '@headstart/queue';
import { DelayedError } from 'bullmq';
import type { Redis } from 'ioredis';

/**
 * Keeps a job's progress from arriving behind its end.
 *
 * Progress marks itself as being on its way, and then looks whether the end is decided; the end is decided before its webhooks are queued,
 * and they look for the mark. Whichever comes first, either progress sees the end and is dropped, or the end sees the mark and waits.
 */
interface Parts {
  redis: Redis;
  prefix: string;
  timeoutMs: number;
}

/** How much longer than a try may take its mark stays where the worker is lost. */
const MARGIN_MS = 5000;
const LOOK_AGAIN_MS = 250;

/** Sends progress, unless the job's end is decided, or other progress of it is still on its way there. @returns whether it was sent. */
export async function sendWhileJobRuns(
  { redis, prefix, timeoutMs }: Parts,
  payload: WebhookPayload,
  send: () => Promise<void>,
): Promise<boolean> {
  const jobId = payload.event.data.id;
  const mark = sendingKey(prefix, jobId, receiverIdOf(payload));
  if ((await redis.set(mark, '', 'PX', timeoutMs + MARGIN_MS, 'NX')) === null) return false;
  try {
    const data = await redis.hget(jobKey(prefix, jobId), 'data');
    if (data === null || (JSON.parse(data) as JobPayload).ending) return false;
    await send();
    return true;
  } finally {
    await redis.del(mark);
  }
}

/** @throws DelayedError, BullMQ's word for a job that was put back, where progress is still on its way to the same receiver. */
export async function waitForProgress(
  { redis, prefix }: Parts,
  record: WebhookRecord,
  token: string | undefined,
): Promise<void> {
  const mark = sendingKey(prefix, record.data.event.data.id, receiverIdOf(record.data));
  if ((await redis.exists(mark)) === 0) return;
  await record.moveToDelayed(Date.now() + LOOK_AGAIN_MS, token);
  throw new DelayedError();
}
