import { Relay } from 'bullmq';
import type { Redis } from 'ioredis';

/** What a client wants of a job that runs. */
export interface JobCommand {
  type: 'cancel' | 'finish';
  jobId: string;
}

/** Carries commands from the API to the worker that runs the job, over BullMQ's Relay. */
export interface CommandChannel {
  /** Rejects where Redis does not answer. A job that no worker listens for is no error. */
  publish(command: JobCommand): Promise<void>;
  /** Calls `listener` with every command that is published from now on, by any process. */
  subscribe(listener: (command: JobCommand) => void): Promise<void>;
  close(): Promise<void>;
}

const NAMESPACE = 'headstart';
const TOPIC = 'commands';

/**
 * Opens the channel. It connects when it is first used, and leaves `redis` open when it is closed.
 *
 * A message can be lost while Redis is away; the payload's `canceledAt` and `finishRequestedAt` cannot, so a worker looks
 * there too, when it starts a job and whenever it writes metrics.
 */
export function createCommandChannel(redis: Redis, prefix: string): CommandChannel {
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
    async publish(command) {
      const relay = await open();
      await relay.publish(TOPIC, command);
    },
    async subscribe(listener) {
      const relay = await open();
      await relay.subscribe<JobCommand>(TOPIC, ({ data }) => listener(data));
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
