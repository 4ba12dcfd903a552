import type { Scenario, StoredJobEvent } from '@headstart/contracts';
import { createIORedisClient, type IRedisTransaction, Job } from 'bullmq';
import type { ChainableCommander } from 'ioredis';
import { CLAIM_SECONDS, idempotencyConflict } from './idempotency.js';
import { getRecord, KEPT_SECONDS } from './job-queue.js';
import { eventsKey, idempotencyKey, indexKey, jobKey, liveKey } from './keys.js';
import type { QueueParts } from './parts.js';
import { type JobPayload, type JobRecord, tenantOf } from './payload.js';
import { RESERVED_MS, reserveQueued } from './queued-quota.js';

/** What a list of jobs is filtered by, besides their status. */
export interface JobFacts {
  scenario: Scenario;
  metadata: Record<string, string>;
}

/**
 * Puts a job that BullMQ has just taken into its tenant's index, and begins its events; one that was there before stays as it is.
 *
 * BullMQ removes ended jobs by their age and tells nobody. So each new job looks at two others of the index, drawn at random, and at
 * two that have not ended as far as is known, and drops those that are gone: dead entries never outnumber the living.
 */
const INDEX_JOB = `
local createdAt = redis.call('HGET', KEYS[1], 'timestamp')
if redis.call('ZADD', KEYS[2], 'NX', 0, createdAt .. ':' .. ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'facts', ARGV[2])
redis.call('XADD', KEYS[3], '*', 'data', ARGV[4])
redis.call('EXPIRE', KEYS[3], ARGV[5])
redis.call('ZADD', KEYS[4], createdAt, ARGV[1])
if KEYS[5] then redis.call('SET', KEYS[5], ARGV[6], 'EX', ARGV[7]) end
for _, member in ipairs(redis.call('ZRANDMEMBER', KEYS[2], 2)) do
  local id = string.sub(member, string.find(member, ':', 1, true) + 1)
  if redis.call('EXISTS', ARGV[3] .. id) == 0 then redis.call('ZREM', KEYS[2], member) end
end
local places = redis.call('ZRANDMEMBER', KEYS[4], 2, 'WITHSCORES')
for i = 1, #places, 2 do
  local isOld = tonumber(places[i + 1]) < tonumber(createdAt) - ${RESERVED_MS}
  if isOld and redis.call('EXISTS', ARGV[3] .. places[i]) == 0 then redis.call('ZREM', KEYS[4], places[i]) end
end
return 1`;

export interface AddedJob {
  record: JobRecord;
  /** False where the job was there already. */
  isNew: boolean;
}

/**
 * Queues a job and puts it into its tenant's index, with the record of its `Idempotency-Key` if it has one, in one transaction.
 * @param id from newJobId, or of the payload's claim; adding the same id twice makes one job.
 * @param maxQueued how many jobs of the tenant may be queued with it; null: any number.
 * @throws AppError('quota_exceeded'), and AppError('idempotency_conflict') where the job that is there already came from another
 * request.
 */
export async function addJob(
  { redis, prefix, jobs }: Pick<QueueParts, 'redis' | 'prefix' | 'jobs'>,
  id: string,
  payload: JobPayload,
  priority: number,
  maxQueued: number | null = null,
): Promise<AddedJob> {
  const tenant = tenantOf(payload);
  if (maxQueued !== null) await reserveQueued({ redis, prefix, jobs }, tenant, id, maxQueued);
  const options = { ...jobs.defaultJobOptions, jobId: id, priority };
  const record = new Job<JobPayload>(jobs, 'fine-tune', payload, options, id);
  const { claim, request } = payload;
  const { scenario, metadata = {} } = request;
  const facts: JobFacts = { scenario, metadata };

  // Only then the connection knows BullMQ's scripts.
  await jobs.waitUntilReady();
  // BullMQ's client makes ioredis's own transaction, with one method more.
  const transaction: ChainableCommander = createIORedisClient(redis).multi();
  await record.addJob(transaction as unknown as IRedisTransaction);
  const event: StoredJobEvent = { type: 'status', status: 'queued', attempt: 0, error: null };
  const keys = [jobKey(prefix, id), indexKey(prefix, tenant), eventsKey(prefix, id), liveKey(prefix, tenant)];
  const values = [id, JSON.stringify(facts), jobKey(prefix, ''), JSON.stringify(event), KEPT_SECONDS.failed];
  if (claim) {
    keys.push(idempotencyKey(prefix, claim.keyDigest));
    values.push(claim.requestDigest, CLAIM_SECONDS);
  }
  transaction.eval(INDEX_JOB, keys.length, ...keys, ...values);
  const results = (await transaction.exec()) ?? [];
  for (const [error] of results) if (error) throw error;
  if (results.at(-1)?.[1] === 1) return { record, isNew: true };

  const existing = await getRecord(jobs, id);
  if (claim && existing.data.claim?.requestDigest !== claim.requestDigest) throw idempotencyConflict(claim);
  return { record: existing, isNew: false };
}
