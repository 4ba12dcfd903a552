import { AppError, ENDED_STATUSES, type Job } from '@headstart/contracts';
import { getRecord } from './job-queue.js';
import type { QueueParts } from './parts.js';
import type { JobRecord } from './payload.js';
import { toJob } from './to-job.js';
import { updatePayload } from './update-payload.js';

/**
 * Asks the worker that has a job to end its training at the next step, and to publish what it came to.
 *
 * The mark in the payload comes before the message, as in `cancelJob`: an attempt that starts later sees it there.
 * @param record as just read.
 * @throws AppError('job_not_running') of a queued job, AppError('job_ended') of one that has ended.
 */
export async function finishJob(parts: QueueParts, record: JobRecord): Promise<Job> {
  const { id, status } = await toJob(record);
  if (ENDED_STATUSES.includes(status))
    throw new AppError('job_ended', `Job ${id} has already ended: it is ${status}.`, { details: { status } });
  if (status === 'queued')
    throw new AppError(
      'job_not_running',
      `Job ${id} is queued: there is nothing to publish yet. Wait until it trains, or cancel it.`,
      { details: { status } },
    );
  const now = new Date().toISOString();
  await updatePayload(parts.redis, record, ({ finishRequestedAt }) => ({
    finishRequestedAt: finishRequestedAt ?? now,
  }));
  await parts.channel.publish({ type: 'finish', jobId: id });
  return toJob(await getRecord(parts.jobs, id));
}
