import type { DeliveryQuery, WebhookDelivery, WebhookDeliveryList } from '@headstart/contracts';
import { SECONDS_PER_DAY } from './job-queue.js';
import { deliveriesKey } from './keys.js';
import type { QueueParts } from './parts.js';

/** Tries that the log of a receiver keeps; the oldest go first. */
export const MAX_DELIVERIES = 5000;
/** As long as the events themselves, without which none can be replayed. */
export const DELIVERIES_KEPT_SECONDS = 30 * SECONDS_PER_DAY;

const APPEND = `
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'data', ARGV[1])
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])`;

type Parts = Pick<QueueParts, 'redis' | 'prefix'>;

/** Writes a try into the log of its receiver. @param receiverId of the endpoint, or of the job whose own webhook it is. */
export async function recordDelivery(
  { redis, prefix }: Parts,
  receiverId: string,
  delivery: Omit<WebhookDelivery, 'id'>,
): Promise<void> {
  const oldest = Date.now() - DELIVERIES_KEPT_SECONDS * 1000;
  await redis.eval(
    APPEND,
    1,
    deliveriesKey(prefix, receiverId),
    JSON.stringify(delivery),
    MAX_DELIVERIES,
    oldest,
    DELIVERIES_KEPT_SECONDS,
  );
}

/** A page of a receiver's log, newest first. */
export async function listDeliveries(
  { redis, prefix }: Parts,
  receiverId: string,
  { limit, cursor }: DeliveryQuery,
): Promise<WebhookDeliveryList> {
  const from = cursor === undefined ? '+' : `(${cursor}`;
  const entries = await redis.xrevrange(deliveriesKey(prefix, receiverId), from, '-', 'COUNT', limit + 1);
  const page = entries.slice(0, limit);
  return {
    deliveries: page.map(([id, [, data = '']]) => ({
      ...(JSON.parse(data) as Omit<WebhookDelivery, 'id'>),
      id,
    })),
    nextCursor: entries.length > limit ? (page.at(-1)?.[0] ?? null) : null,
  };
}
