import type { TestProject } from 'vitest/node';
import { findRedis, startOwnRedis } from '../../scripts/src/redis/find.js';
import type { RedisServer } from '../../scripts/src/redis/server.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** A Redis that all tests of a run share: use a QUEUE_PREFIX of your own. `inject('redisUrl')` */
    redisUrl: string;
  }
}

/** Starts a Redis of the test's own, which it may kill. Call `stop` at the end in any case. */
export async function startRedis(): Promise<RedisServer> {
  const { url, stop, kill, restart } = await startOwnRedis();
  if (!kill || !restart)
    throw new Error('A Redis in a container cannot be killed from here: install redis-server for this test.');
  return { url, stop, kill, restart };
}

/** vitest's globalSetup: one Redis for the run. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const redis = await findRedis({ prefersContainer: true });
  project.provide('redisUrl', redis.url);
  return redis.stop;
}
