import { AppError, ENDED_STATUSES, type Job } from '@headstart/contracts';
import { announceEnding, decideEnding } from './ending.js';
import { settleJob } from './events.js';
import { getRecord } from './job-queue.js';
import type { QueueParts } from './parts.js';
import type { JobRecord } from './payload.js';
import { toJob } from './to-job.js';
import { updatePayload } from './update-payload.js';

/**
 * Cancels a job.
 *
 *   queued:  it is `canceled` with the answer, and its webhooks are queued; a worker that picks it up later drops it.
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
  // One without an ending is canceled by its mark alone: whoever set that came no further.
  if (before.status === 'canceled' && record.data.ending) return before;
  refuseEnded(before);

  const now = new Date().toISOString();
  await updatePayload(parts.redis, record, ({ canceledAt }) => ({ canceledAt: canceledAt ?? now }));
  await parts.channel.publish({ type: 'cancel', jobId: before.id });

  const latest = await getRecord(parts.jobs, before.id);
  const after = await toJob(latest);
  refuseEnded(after);
  if (after.status !== 'canceled') return after;
  const at = after.finishedAt ?? now;
  const ending = await decideEnding(parts.redis, latest, { status: 'canceled', error: after.error, at });
  if (ending?.status !== 'canceled') return toJob(latest);
  await settleJob(parts, latest, false);
  // The worker that drops the job queues the same webhooks, and the queue takes the first of each.
  await announceEnding(parts, latest, ending);
  return after;
}

function refuseEnded({ id, status }: Job): void {
  if (status === 'canceled' || !ENDED_STATUSES.includes(status)) return;
  throw new AppError('job_ended', `Job ${id} has already ${status}, so there is nothing left to cancel.`, {
    details: { status },
  });
}
