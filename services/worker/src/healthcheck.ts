/**
 * node services/worker/dist/healthcheck.js
 *
 * For a container's health check: does Redis hold a connection on which a worker of this machine takes jobs? Reads the worker's own
 * environment, and ends with code 0 if so, else with 1 and the reason.
 */
import { createJobQueue, createRedis, watchRedis } from '@headstart/queue';
import { readConfig } from './config.js';
import { countWorkersHere, WORKER_NAME } from './supervisor/machine.js';

async function check(): Promise<void> {
  const { redisUrl, queuePrefix } = readConfig();
  const redis = createRedis(redisUrl, 'api');
  let outage: Error | undefined;
  watchRedis(redis, { up: () => undefined, down: (error) => (outage = error) });
  try {
    await redis.connect().catch((error: unknown) => {
      throw outage ?? error;
    });
    const jobs = createJobQueue(redis, queuePrefix);
    const workers = await countWorkersHere(jobs);
    await jobs.close();
    if (workers === 0)
      throw new Error(`Redis knows no worker of ${WORKER_NAME} in the queue "${queuePrefix}".`);
  } finally {
    redis.disconnect();
  }
}

try {
  await check();
  // Without waiting for ioredis, which keeps a connection's timer for two seconds.
  process.exit(0);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exit(1);
}
