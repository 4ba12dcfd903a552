import { Relay } from 'bullmq';
import type { Redis } from 'ioredis';

/** Carries the ids of jobs to cancel from the API to the worker that runs them, over BullMQ's Relay. */
export interface CancelChannel {
  /** Rejects where Redis does not answer. A job that no worker listens for is no error. */
  publish(jobId: string): Promise<void>;
  /** Calls `listener` with every id that is published from now on, by any process. */
  subscribe(listener: (jobId: string) => void): Promise<void>;
  close(): Promise<void>;
}

const NAMESPACE = 'headstart';
const TOPIC = 'cancel';

/**
 * Opens the channel. It connects when it is first used, and leaves `redis` open when it is closed.
 *
 * A message can be lost while Redis is away; the payload's `canceledAt` cannot, so a worker looks there too, when it
 * starts a job and whenever it writes metrics.
 */
export function createCancelChannel(redis: Redis, prefix: string): CancelChannel {
  let current: Relay | undefined;

  async function open(): Promise<Relay> {
    current ??= createRelay(redis, prefix);
    const relay = current;
    try {
      await relay.waitUntilReady();
      return relay;
    } catch (error) {
      // A relay that could not start stays so: the next call makes another.
      if (current === relay) current = undefined;
      await relay.close().catch(() => undefined);
      throw error;
    }
  }

  return {
    async publish(jobId) {
      const relay = await open();
      await relay.publish(TOPIC, jobId);
    },
    async subscribe(listener) {
      const relay = await open();
      await relay.subscribe<string>(TOPIC, ({ data }) => listener(data));
    },
    async close() {
      await current?.close();
    },
  };
}

function createRelay(redis: Redis, prefix: string): Relay {
  const relay = new Relay({ connection: redis, prefix, namespace: NAMESPACE });
  // It tries again by itself, and watchRedis reports the outage.
  relay.on('error', () => undefined);
  return relay;
}
