import { randomUUID } from 'node:crypto';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { AppError } from '@headstart/contracts';
import { JOBS_QUEUE } from './keys.js';
import type { JobPayload, JobRecord } from './payload.js';

/** Of a job whose client names none; 1 is taken first. */
export const DEFAULT_PRIORITY = 500;

export const SECONDS_PER_DAY = 86_400;
/** How long a job is kept once it has ended; a canceled one as one that failed. */
export const KEPT_SECONDS = { succeeded: 7 * SECONDS_PER_DAY, failed: 30 * SECONDS_PER_DAY };

/** Opens the queue of jobs. It uses `redis` and leaves it open when it is closed. */
export function createJobQueue(redis: Redis, prefix: string): Queue<JobPayload> {
  const queue = new Queue<JobPayload>(JOBS_QUEUE, {
    connection: redis,
    prefix,
    defaultJobOptions: {
      attempts: 5,
      backoff: { type: 'exponential', delay: 5000 },
      removeOnComplete: { age: KEPT_SECONDS.succeeded },
      removeOnFail: { age: KEPT_SECONDS.failed },
    },
  });
  // The queue only passes on what its connection reports, and watchRedis reports that; its commands reject themselves.
  queue.on('error', () => undefined);
  return queue;
}

export function newJobId(): string {
  return randomUUID();
}

/** @returns undefined where there is no such job. */
export async function findJob(queue: Queue<JobPayload>, id: string): Promise<JobRecord | undefined> {
  // BullMQ looks ids up among its own keys, "meta" or "ID:lock", which are no jobs.
  return JOB_ID.test(id) ? queue.getJob(id) : undefined;
}

const JOB_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** @throws AppError('job_not_found') */
export async function getRecord(queue: Queue<JobPayload>, id: string): Promise<JobRecord> {
  const record = await findJob(queue, id);
  if (record) return record;
  throw jobNotFound(id);
}

export function jobNotFound(id: string): AppError {
  return new AppError(
    'job_not_found',
    `There is no job "${id}". Jobs are kept for 7 days after they succeeded and for 30 after they failed; their files stay.`,
  );
}
