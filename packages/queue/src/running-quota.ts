import { findJob } from './job-queue.js';
import { jobKey, parkedKey, slotsKey } from './keys.js';
import type { QueueParts } from './parts.js';
import { type JobRecord, tenantOf } from './payload.js';

/**
 * How many jobs of a tenant run at once.
 *
 *   taken    a worker has the job, and asks for a slot of its tenant's: every job has one while it runs
 *   parked   there is none left: the job goes back as if nobody had taken it, delayed, so that the worker can take others'
 *   called   a job of the tenant has let go of its slot: the first of those that are parked is queued again at once
 *
 * Slots are not given back: who is active no longer, as BullMQ says, has none. A call can be lost with the worker that makes
 * it, so each parked job looks again by itself, too.
 */
type Parts = Pick<QueueParts, 'redis' | 'prefix' | 'jobs'>;

/** Drops the slots of jobs that run no longer. */
const KEEP_ACTIVE = `
local active = {}
for _, id in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do active[id] = true end
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  if not active[id] then redis.call('SREM', KEYS[1], id) end
end
`;

/** The start is undone only where it is still the one that asks: a command may be sent twice when the connection is lost. */
const TAKE = `${KEEP_ACTIVE}
local limit = tonumber(ARGV[2])
if not limit or redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 or redis.call('SCARD', KEYS[1]) < limit then
  redis.call('SADD', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
  return -1
end
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
if redis.call('HGET', KEYS[4], 'ats') == ARGV[4] then
  redis.call('HSET', KEYS[4], 'ats', ARGV[4] - 1)
  redis.call('HDEL', KEYS[4], 'processedOn')
end
return redis.call('ZRANK', KEYS[2], ARGV[1])`;

const FIRST_PARKED = `${KEEP_ACTIVE}
local limit = tonumber(ARGV[1])
if limit and redis.call('SCARD', KEYS[1]) >= limit then return false end
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  if redis.call('ZSCORE', KEYS[4], id) then return id end
  local createdAt, finishedOn = unpack(redis.call('HMGET', ARGV[2] .. id, 'timestamp', 'finishedOn'))
  if finishedOn or not createdAt then redis.call('ZREM', KEYS[2], id) end
end
return false`;

/** Later than any time in milliseconds, so that parked jobs stand by priority, and within one by age. */
const PRIORITY_STEP = 1e13;

/**
 * Asks for a slot for a job that this worker has just taken.
 * @returns null where it may run; else how many of the tenant's parked jobs come before it. It counts as not started then.
 */
export async function takeSlot({ redis, prefix, jobs }: Parts, record: JobRecord): Promise<number | null> {
  const { id = '', data, priority, timestamp, attemptsStarted } = record;
  const tenant = tenantOf(data);
  const keys = [
    slotsKey(prefix, tenant),
    parkedKey(prefix, tenant),
    jobs.toKey('active'),
    jobKey(prefix, id),
  ];
  const order = priority * PRIORITY_STEP + timestamp;
  const values = [id, data.maxRunning ?? '', order, attemptsStarted];
  const before = Number(await redis.eval(TAKE, keys.length, ...keys, ...values));
  return before === -1 ? null : before;
}

/**
 * Queues the first of a tenant's parked jobs again, if there is one.
 * @param maxRunning only where fewer than that are running.
 */
export async function callParked(
  { redis, prefix, jobs }: Parts,
  tenant: string,
  maxRunning?: number,
): Promise<void> {
  const keys = [
    slotsKey(prefix, tenant),
    parkedKey(prefix, tenant),
    jobs.toKey('active'),
    jobs.toKey('delayed'),
  ];
  for (;;) {
    const id = await redis.eval(FIRST_PARKED, keys.length, ...keys, maxRunning ?? '', jobKey(prefix, ''));
    if (typeof id !== 'string') return;
    const record = await findJob(jobs, id);
    const isCalled = await record?.promote().then(
      () => true,
      // Somebody else has called it in between, or its delay was over: the next one is ours to call.
      () => false,
    );
    if (isCalled) return;
  }
}
