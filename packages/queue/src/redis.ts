import { Redis, type RedisOptions } from 'ioredis';

/**
 * `api`: connects when `connect()` is called; a command fails at once while Redis is away, so that a client gets its
 * answer.
 * `worker`, `events`: commands wait until Redis is back, as BullMQ asks of the connections it blocks on.
 */
export type RedisKind = 'api' | 'worker' | 'events';

const WAITS: RedisOptions = { maxRetriesPerRequest: null };
const OPTIONS: Record<RedisKind, RedisOptions> = {
  api: { lazyConnect: true, enableOfflineQueue: false, maxRetriesPerRequest: 0, connectTimeout: 1000 },
  worker: WAITS,
  events: WAITS,
};

/**
 * Opens a connection that reconnects for ever, 100 ms to 1 s apart. The caller closes it, after whatever uses it.
 *
 * @param url `redis://[user:password@]host:port[/db]`, or `rediss://` for TLS.
 */
export function createRedis(url: string, kind: RedisKind): Redis {
  const redis = new Redis(url, {
    ...OPTIONS[kind],
    retryStrategy: (tries) => Math.min(tries * 100, 1000),
  });
  // Every request that comes before it is connected waits for it.
  redis.setMaxListeners(0);
  // Without a listener ioredis prints every failed try; watchRedis reports an outage once.
  redis.on('error', () => undefined);
  return redis;
}

/** Reports each change between "Redis answers" and "Redis is away" once, however often it is tried in between. */
export function watchRedis(redis: Redis, report: { up(): void; down(error: Error): void }): void {
  let isDown = false;
  redis.on('error', (error: Error) => {
    if (isDown) return;
    isDown = true;
    report.down(error);
  });
  redis.on('ready', () => {
    isDown = false;
    report.up();
  });
}
