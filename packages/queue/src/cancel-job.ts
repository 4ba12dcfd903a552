import { AppError, ENDED_STATUSES, type Job } from '@headstart/contracts';
import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { CancelChannel } from './cancel-channel.js';
import { findJob } from './job-queue.js';
import type { JobPayload, JobRecord, WebhookPayload } from './payload.js';
import { toJob } from './to-job.js';
import { updatePayload } from './update-payload.js';
import { addWebhook, webhookFor } from './webhook-queue.js';

/** What cancelling works on; all of it over the same Redis and prefix. */
export interface CancelParts {
  redis: Redis;
  jobs: Queue<JobPayload>;
  webhooks: Queue<WebhookPayload>;
  channel: CancelChannel;
}

/**
 * Cancels a job.
 *
 *   queued:  it is `canceled` with the answer, and its webhook is queued; a worker that picks it up later drops it.
 *   running: the worker that has it is told; the job is `canceled` as soon as that worker has let go of it.
 *
 * The mark in the payload comes first and the message always follows. So whichever way a job goes from queued to
 * running meanwhile, its worker sees the one when it starts the job, or hears the other while it runs it.
 *
 * @returns the job as it is afterwards; a job that is canceled already as it is.
 * @throws AppError('job_not_found') and AppError('job_ended').
 */
export async function cancelJob(parts: CancelParts, id: string): Promise<Job> {
  const record = await getRecord(parts, id);
  const before = await toJob(record);
  if (before.status === 'canceled') return before;
  refuseEnded(before);

  const now = new Date().toISOString();
  await updatePayload(parts.redis, record, ({ canceledAt }) => ({ canceledAt: canceledAt ?? now }));
  await parts.channel.publish(id);

  const after = await toJob(await getRecord(parts, id));
  refuseEnded(after);
  const webhook = webhookFor(after);
  // The worker that drops or stops the job queues the same webhook, and the queue takes the first of the two.
  if (webhook) await addWebhook(parts.webhooks, id, webhook);
  return after;
}

function refuseEnded({ id, status }: Job): void {
  if (status === 'canceled' || !ENDED_STATUSES.includes(status)) return;
  throw new AppError('job_ended', `Job ${id} has already ${status}, so there is nothing left to cancel.`, {
    details: { status },
  });
}

async function getRecord({ jobs }: CancelParts, id: string): Promise<JobRecord> {
  const record = await findJob(jobs, id);
  if (record) return record;
  throw jobNotFound(id);
}

export function jobNotFound(id: string): AppError {
  return new AppError(
    'job_not_found',
    `There is no job "${id}". Jobs are kept for 7 days after they succeeded and for 30 after they failed; their files stay.`,
  );
}
