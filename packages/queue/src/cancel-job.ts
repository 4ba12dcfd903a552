import { AppError, ENDED_STATUSES, type Job } from '@headstart/contracts';
import { settleJob } from './events.js';
import { getRecord } from './job-queue.js';
import type { QueueParts } from './parts.js';
import type { JobRecord } from './payload.js';
import { toJob } from './to-job.js';
import { updatePayload } from './update-payload.js';
import { addWebhook, webhookFor } from './webhook-queue.js';

/**
 * Cancels a job.
 *
 *   queued:  it is `canceled` with the answer, and its webhook is queued; a worker that picks it up later drops it.
 *   running: the worker that has it is told; the job is `canceled` as soon as that worker has let go of it.
 *
 * The mark in the payload comes first and the message always follows. So whichever way a job goes from queued to
 * running meanwhile, its worker sees the one when it starts the job, or hears the other while it runs it.
 *
 * @param record as just read.
 * @returns the job as it is afterwards; a job that is canceled already as it is.
 * @throws AppError('job_ended'), and AppError('job_not_found') where it is removed meanwhile.
 */
export async function cancelJob(parts: QueueParts, record: JobRecord): Promise<Job> {
  const before = await toJob(record);
  if (before.status === 'canceled') return before;
  refuseEnded(before);

  const now = new Date().toISOString();
  await updatePayload(parts.redis, record, ({ canceledAt }) => ({ canceledAt: canceledAt ?? now }));
  await parts.channel.publish({ type: 'cancel', jobId: before.id });

  const after = await toJob(await getRecord(parts.jobs, before.id));
  refuseEnded(after);
  if (after.status === 'canceled') await settleJob(parts, record, false);
  const webhook = webhookFor(after);
  // The worker that drops or stops the job queues the same webhook, and the queue takes the first of the two.
  if (webhook) await addWebhook(parts.webhooks, after.id, webhook);
  return after;
}

function refuseEnded({ id, status }: Job): void {
  if (status === 'canceled' || !ENDED_STATUSES.includes(status)) return;
  throw new AppError('job_ended', `Job ${id} has already ${status}, so there is nothing left to cancel.`, {
    details: { status },
  });
}
