import type { Redis } from 'ioredis';
import type { JobPayload, JobRecord } from './payload.js';

/** BullMQ keeps a job's data as JSON in the field `data` of the hash `prefix:queue:id`, and its starts in `ats`. */
const SWAP_DATA = `
local current = redis.call('HGET', KEYS[1], 'data')
if current ~= ARGV[1] then return 0 end
if ARGV[3] ~= '' and redis.call('HGET', KEYS[1], 'ats') ~= ARGV[3] then return 2 end
redis.call('HSET', KEYS[1], 'data', ARGV[2])
return 1`;

/**
 * Changes fields of a job's payload, and of `record.data` with it.
 *
 * BullMQ's `updateData` writes the payload whole: a worker's metrics and a client's cancel would undo each other. This
 * one reads, changes, and writes only if nobody wrote in between, else starts over.
 *
 * @param attempt of the worker that writes: where another attempt has started since, nothing is changed.
 * @returns the payload as it is now, whoever changed it; null where the job is gone, or another attempt's.
 */
export async function updatePayload(
  redis: Redis,
  record: JobRecord,
  change: (payload: JobPayload) => Partial<JobPayload>,
  attempt?: number,
): Promise<JobPayload | null> {
  const key = keyOf(record);
  for (;;) {
    const before = await redis.hget(key, 'data');
    if (before === null) return null;
    const payload = JSON.parse(before) as JobPayload;
    const next = { ...payload, ...change(payload) };
    const swapped = await redis.eval(SWAP_DATA, 1, key, before, JSON.stringify(next), attempt ?? '');
    if (swapped === 2) return null;
    if (swapped !== 1) continue;
    record.data = next;
    return next;
  }
}

/**
 * Reads a job's payload anew, into `record.data` too. A worker does so when it starts a job: a cancel may have come
 * after BullMQ handed out the data, and before this worker listened for the job.
 */
export async function readPayload(redis: Redis, record: JobRecord): Promise<JobPayload | null> {
  const data = await redis.hget(keyOf(record), 'data');
  if (data === null) return null;
  record.data = JSON.parse(data) as JobPayload;
  return record.data;
}

/** Whether no other attempt at the job has started since. */
export async function isLatestAttempt(redis: Redis, record: JobRecord, attempt: number): Promise<boolean> {
  return (await redis.hget(keyOf(record), 'ats')) === String(attempt);
}

function keyOf(record: JobRecord): string {
  return `${record.queueQualifiedName}:${record.id}`;
}
