import { type Progress, StoredJobEvent } from '@headstart/contracts';
import type { Redis } from 'ioredis';
import { CLAIM_SECONDS } from './idempotency.js';
import { KEPT_SECONDS } from './job-queue.js';
import { eventsKey, idempotencyKey, liveKey } from './keys.js';
import type { QueueParts } from './parts.js';
import { type JobRecord, tenantOf } from './payload.js';

/**
 * What happens to a job, for whoever listens.
 *
 * A stream of each job keeps what can be replayed; it is as old as the job at most, and expires with it. Progress replaces
 * itself, so it is only announced. The channel of the stream's own name says that there is something new: an empty message for
 * the stream or the job's record, progress as JSON.
 */
export interface JobEventEntry {
  /** Of the stream: milliseconds since 1970, a hyphen, and a number. */
  id: string;
  /** Null of an event that this release does not know: a worker of a newer one has the job. */
  event: StoredJobEvent | null;
}

/** Logs of a job that warns in every step must not fill Redis; the oldest go first. */
export const MAX_EVENTS = 10_000;

const APPEND = `
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'data', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('PUBLISH', KEYS[1], '')`;

type Parts = Pick<QueueParts, 'redis' | 'prefix'>;

export async function appendEvent(
  { redis, prefix }: Parts,
  id: string,
  event: StoredJobEvent,
): Promise<void> {
  await redis.eval(APPEND, 1, eventsKey(prefix, id), JSON.stringify(event), MAX_EVENTS, KEPT_SECONDS.failed);
}

export async function announceProgress(
  { redis, prefix }: Parts,
  id: string,
  progress: Progress,
): Promise<void> {
  await redis.publish(eventsKey(prefix, id), JSON.stringify(progress));
}

/** @param after id of the last entry that is known, `0-0` for all. @returns the oldest first. */
export async function readEvents(
  { redis, prefix }: Parts,
  id: string,
  after: string,
  count: number,
): Promise<JobEventEntry[]> {
  const entries = await redis.xrange(eventsKey(prefix, id), `(${after}`, '+', 'COUNT', count);
  return entries.map(([entryId, [, data = '']]) => ({
    id: entryId,
    event: StoredJobEvent.safeParse(JSON.parse(data)).data ?? null,
  }));
}

/** To be called when a job has ended: what is kept beside it is kept as long as it from now on, and listeners hear of it. */
export async function settleJob(
  { redis, prefix }: Parts,
  record: JobRecord,
  succeeded: boolean,
): Promise<void> {
  const key = eventsKey(prefix, record.id ?? '');
  const { claim } = record.data;
  const transaction = redis.multi();
  transaction.expire(key, KEPT_SECONDS[succeeded ? 'succeeded' : 'failed']);
  if (claim)
    transaction.set(idempotencyKey(prefix, claim.keyDigest), claim.requestDigest, 'EX', CLAIM_SECONDS);
  transaction.zrem(liveKey(prefix, tenantOf(record.data)), record.id ?? '');
  transaction.publish(key, '');
  await transaction.exec();
}

/** Calls a listener with what is announced of jobs, over a connection of its own that does nothing else. */
export function createEventSubscriber(redis: Redis, prefix: string) {
  const connection = redis.duplicate({
    lazyConnect: true,
    enableOfflineQueue: true,
    maxRetriesPerRequest: null,
  });
  // It connects again by itself, and watchRedis reports the outage.
  connection.on('error', () => undefined);
  return {
    /** @param onNews `progress` is null where the stream or the record may have changed. */
    listen(onNews: (id: string, progress: Progress | null) => void, onReconnect: () => void): void {
      const start = eventsKey(prefix, '').length;
      connection.on('message', (channel: string, message: string) =>
        onNews(channel.slice(start), message === '' ? null : (JSON.parse(message) as Progress)),
      );
      connection.on('ready', onReconnect);
    },
    async subscribe(id: string): Promise<void> {
      await connection.subscribe(eventsKey(prefix, id));
    },
    async unsubscribe(id: string): Promise<void> {
      await connection.unsubscribe(eventsKey(prefix, id));
    },
    close(): void {
      connection.disconnect();
    },
  };
}
