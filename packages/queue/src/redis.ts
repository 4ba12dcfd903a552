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
  const redis = withEnd(
    new Redis(url, { ...OPTIONS[kind], retryStrategy: (tries) => Math.min(tries * 100, 1000) }),
  );
  // Every request that comes before it is connected waits for it.
  redis.setMaxListeners(0);
  // Without a listener ioredis prints every failed try; watchRedis reports an outage once.
  redis.on('error', () => undefined);
  return redis;
}

/**
 * Has a connection end that is told to while it waits for its next try, and its duplicates too, as BullMQ's workers make them. ioredis
 * leaves it as it is: it tries no more and never ends, and whoever closes a worker waits for that end.
 */
function withEnd(redis: Redis): Redis {
  const disconnect = redis.disconnect.bind(redis);
  redis.disconnect = (reconnect = false) => {
    // As one that was never connected, which ends at once.
    if (redis.status === 'reconnecting' && !reconnect) redis.status = 'wait';
    disconnect(reconnect);
  };
  const duplicate: (override?: Partial<RedisOptions>) => Redis = redis.duplicate.bind(redis);
  redis.duplicate = (override?: Partial<RedisOptions>) => withEnd(duplicate(override));
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

/** How often one looks whether Redis has said anything. */
const LOOK_EVERY_MS = 100;

export interface SilenceLimits {
  /** How long Redis may say nothing at all. */
  silentMs: number;
  /** How long an answer may take however much Redis says meanwhile. */
  totalMs: number;
}

/**
 * Watches over what is asked of Redis: an answer that does not come because this process, or its machine, is busy is no outage. So whatever
 * comes from Redis counts, and time in which nobody could look does not.
 */
export function watchSilence(redis: Redis, { silentMs, totalMs }: SilenceLimits) {
  const startedMs = performance.now();
  let lookedAtMs = startedMs;
  let heard = heardOf(redis);
  let silentForMs = 0;
  let timer: NodeJS.Timeout | undefined;
  const broken = new Promise<never>((_, reject) => {
    timer = setInterval(() => {
      const now = performance.now();
      const hears = heardOf(redis);
      silentForMs = hears === heard ? silentForMs + Math.min(now - lookedAtMs, 2 * LOOK_EVERY_MS) : 0;
      heard = hears;
      lookedAtMs = now;
      if (silentForMs >= silentMs) reject(new Error(`Redis said nothing for ${silentMs} ms`));
      else if (now - startedMs >= totalMs) reject(new Error(`Redis did not answer within ${totalMs} ms`));
    }, LOOK_EVERY_MS);
  });
  return {
    /** Rejects when one of the limits is reached. */
    broken,
    end: () => clearInterval(timer),
  };
}

/** Bytes that have come over the connection; null while there is none, or Redis still reads its file. */
function heardOf({ status, stream }: Redis): number | null {
  return status === 'ready' ? stream.bytesRead : null;
}
