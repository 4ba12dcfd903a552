import { AppError } from '@headstart/contracts';
import { jobKey, liveKey, queuedKey } from './keys.js';
import type { QueueParts } from './parts.js';

/** How long a tenant that is told that its quota is used up is told so without a new count: counting takes Redis time. */
const COUNTED_MS = 200;
/** How long a post may take from its place in the queue to its job: a place without a job is nobody's after that. */
export const RESERVED_MS = 10_000;

/**
 * Takes a place among a tenant's jobs that have not ended, unless so many of them are queued.
 *
 * Only when there are as many as that, running ones included, are they looked at one by one; those that ended and were not taken out,
 * since whoever ended them died, are taken out then. So a post costs little, and however many come at once, no more get through.
 */
const RESERVE = `
local limit, now = tonumber(ARGV[2]), tonumber(ARGV[3])
if redis.call('ZSCORE', KEYS[1], ARGV[1]) or redis.call('ZCARD', KEYS[1]) < limit then
  redis.call('ZADD', KEYS[1], 'NX', now, ARGV[1])
  return -1
end
local counted = tonumber(redis.call('GET', KEYS[3]) or 0)
if counted >= limit then return counted end
local active = {}
for _, id in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do active[id] = true end
local queued = 0
local places = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #places, 2 do
  local id = places[i]
  local createdAt, finishedOn = unpack(redis.call('HMGET', ARGV[4] .. id, 'timestamp', 'finishedOn'))
  local isReserved = not createdAt and tonumber(places[i + 1]) > now - tonumber(ARGV[5])
  if finishedOn or not (createdAt or isReserved) then redis.call('ZREM', KEYS[1], id)
  elseif not active[id] then queued = queued + 1 end
end
if queued >= limit then
  redis.call('SET', KEYS[3], queued, 'PX', ARGV[6])
  return queued
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
return -1`;

/**
 * To be called just before a job is added.
 * @throws AppError('quota_exceeded')
 */
export async function reserveQueued(
  { redis, prefix, jobs }: Pick<QueueParts, 'redis' | 'prefix' | 'jobs'>,
  tenant: string,
  id: string,
  maxQueued: number,
): Promise<void> {
  const keys = [liveKey(prefix, tenant), jobs.toKey('active'), queuedKey(prefix, tenant)];
  const values = [id, maxQueued, Date.now(), jobKey(prefix, ''), RESERVED_MS, COUNTED_MS];
  const queued = Number(await redis.eval(RESERVE, keys.length, ...keys, ...values));
  if (queued === -1) return;
  throw new AppError(
    'quota_exceeded',
    `The tenant "${tenant}" has ${queued} queued jobs, and may have ${maxQueued} with this key. Wait until workers have taken some, or cancel some.`,
    { details: { queued, maxQueued } },
  );
}
