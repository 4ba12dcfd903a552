import { AppError, ENDED_STATUSES, type Job } from '@headstart/contracts';
import { announceEnding, decideEnding } from './ending.js';
import { deliveriesKey, eventsKey, indexKey, memberOf } from './keys.js';
import type { QueueParts } from './parts.js';
import { type JobEnding, type JobRecord, tenantOf } from './payload.js';
import { toJob } from './to-job.js';

/** @throws AppError('job_not_ended') where the job may still be worked on. */
export function refuseUnended({ id, status }: Job): void {
  if (ENDED_STATUSES.includes(status)) return;
  throw new AppError(
    'job_not_ended',
    `Job ${id} is ${status}. Cancel it first, and wait until it has ended.`,
    {
      details: { status },
    },
  );
}

/**
 * Removes an ended job from the queue and from the index, with its events and deliveries. A job that is gone already is no error. Its
 * end is announced before, where whoever was to do that has not come to it.
 * @throws AppError('job_not_ended') also while a worker holds a job that was canceled just before it got it.
 */
export async function removeJob(parts: QueueParts, record: JobRecord): Promise<void> {
  const { redis, prefix, jobs } = parts;
  const job = await toJob(record);
  refuseUnended(job);
  if (!record.data.ending) await announceEnd(parts, record, job);
  const id = record.id ?? '';
  // 0: a worker holds its lock.
  if ((await jobs.remove(id)) === 0 && (await jobs.getJobState(id)) === 'active')
    throw new AppError('job_not_ended', `A worker is about to drop job ${id}. Try again in a few seconds.`);
  await redis.del(eventsKey(prefix, id), deliveriesKey(prefix, id));
  await redis.zrem(indexKey(prefix, tenantOf(record.data)), memberOf(record.timestamp, id));
}

async function announceEnd(parts: QueueParts, record: JobRecord, job: Job): Promise<void> {
  const { error, finishedAt } = job;
  const status = job.status as JobEnding['status'];
  const at = finishedAt ?? new Date().toISOString();
  const ending = await decideEnding(parts.redis, record, { status, error, at });
  if (ending === null) return;
  // It may just have been decided otherwise, by a worker.
  refuseUnended(await toJob(record));
  await announceEnding(parts, record, ending);
}
