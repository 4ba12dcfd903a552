import { createEventSubscriber, type createRedis } from '@headstart/queue';
import fp from 'fastify-plugin';
import { Readable } from 'node:stream';
import { JobFeed } from '../events/feed.js';
import { follow } from '../events/follow.js';

/**
 * How often a feed is looked at without news: what was announced while the connection was away is found, and clients get a
 * heartbeat. Well below the time after which the server, and most proxies, give up a silent connection.
 */
const LOOK_AGAIN_MS = 5000;

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * A job's events as text/event-stream.
     * @param after an entry's id.
     * @param ends the stream ends when one of them is aborted, as it must be when the client is gone: a stream that is destroyed still
     * waits for the next event.
     */
    followJob(id: string, after: string, ends: AbortSignal[]): Readable;
  }
}

interface OpenFeed {
  feed: JobFeed;
  listeners: number;
  clock: NodeJS.Timeout;
}

/** Server-sent events: one connection to Redis for all jobs, and one feed of each job for all who listen to it. */
export const jobFeedsPlugin = fp<{ redis: ReturnType<typeof createRedis>; prefix: string }>(
  async (app, { redis, prefix }) => {
    const feeds = new Map<string, OpenFeed>();
    const closing = new AbortController();
    const subscriber = createEventSubscriber(redis, prefix);
    subscriber.listen(
      (id, progress) => feeds.get(id)?.feed.announce(progress),
      () => {
        for (const { feed } of feeds.values()) feed.announce(null);
      },
    );
    const ignore = (error: unknown) => app.log.debug({ err: error }, 'job events');

    function open(id: string, after: string): OpenFeed {
      const existing = feeds.get(id);
      if (existing) return existing;
      const feed = new JobFeed(app.jobs, id, after);
      const clock = setInterval(() => feed.announce(null), LOOK_AGAIN_MS);
      const opened = { feed, listeners: 0, clock };
      feeds.set(id, opened);
      // What came before it was subscribed is found when it is.
      subscriber.subscribe(id).then(() => feed.announce(null), ignore);
      return opened;
    }

    async function* listen(id: string, after: string, ends: AbortSignal[]) {
      const opened = open(id, after);
      opened.listeners++;
      try {
        yield* follow(opened.feed, after, AbortSignal.any([closing.signal, ...ends]));
      } finally {
        opened.listeners--;
        if (opened.listeners === 0) {
          clearInterval(opened.clock);
          feeds.delete(id);
          subscriber.unsubscribe(id).catch(ignore);
        }
      }
    }

    app.decorate('followJob', (id: string, after: string, ends: AbortSignal[]) =>
      Readable.from(listen(id, after, ends), { objectMode: false }),
    );
    // Before the server waits for its connections to end.
    app.addHook('preClose', async () => closing.abort());
    app.addHook('onClose', async () => subscriber.close());
  },
  { name: 'job-feeds', dependencies: ['queue'] },
);
