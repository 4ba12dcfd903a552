import type { QueueParts } from './parts.js';

/** `waiting` for a worker, `delayed` until the next try, or parked until their tenant may run another; what has ended is counted for as long as it is kept. */
export const QUEUE_STATES = ['waiting', 'delayed', 'active', 'completed', 'failed'] as const;
export type QueueState = (typeof QUEUE_STATES)[number];

export interface QueueDepths {
  jobs: Record<QueueState, number>;
  webhooks: Record<QueueState, number>;
  /** When the job was posted that has waited longest of those that are next in their priority; null where none waits. */
  oldestWaitingAtMs: number | null;
}

/**
 * BullMQ sorts waiting jobs by priority x 2^32 plus a running number: the first of each priority is looked at, and the rest of it
 * skipped, so that the cost does not grow with the queue.
 */
const OLDEST_WAITING = `
local oldest = false
local from = 0
while true do
  local head = redis.call('ZRANGEBYSCORE', KEYS[1], from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if #head == 0 then return oldest end
  local at = redis.call('HGET', KEYS[2] .. head[1], 'timestamp')
  if at and (not oldest or tonumber(at) < tonumber(oldest)) then oldest = at end
  from = string.format('%.0f', (math.floor(tonumber(head[2]) / 0x100000000) + 1) * 0x100000000)
end`;

/** Counts both queues. Rejects with ioredis's error where Redis does not answer. */
export async function readDepths({ redis, jobs, webhooks }: QueueParts): Promise<QueueDepths> {
  const [jobCounts, webhookCounts, oldest] = await Promise.all([
    jobs.getJobCounts(),
    webhooks.getJobCounts(),
    redis.eval(OLDEST_WAITING, 2, jobs.toKey('prioritized'), jobs.toKey('')),
  ]);
  return {
    jobs: depthsOf(jobCounts),
    webhooks: depthsOf(webhookCounts),
    oldestWaitingAtMs: typeof oldest === 'string' ? Number(oldest) : null,
  };
}

function depthsOf(counts: Record<string, number>): Record<QueueState, number> {
  const {
    waiting = 0,
    paused = 0,
    prioritized = 0,
    delayed = 0,
    active = 0,
    completed = 0,
    failed = 0,
  } = counts;
  return { waiting: waiting + paused + prioritized, delayed, active, completed, failed };
}
