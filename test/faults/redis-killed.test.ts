import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRedis } from '@headstart/queue';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { folderUri, makeFolders } from '../support/api.js';
import { poll } from '../support/poll.js';
import { openQueueParts } from '../support/queue.js';
import { startRedis } from '../support/redis.js';
import { type ApiService, killServices, startApi } from '../support/services.js';

/** `FAULT_POSTS=10000 npm run test:faults -- redis-killed` is the whole of it. */
const ACKNOWLEDGED = Number(process.env['FAULT_POSTS'] ?? 1000);
const CLIENTS = 20;
/** Redis puts a write off for so long where the disk is still busy with the fsync before. */
const EVERYSEC_MAY_LOSE_MS = 2000;

let redis: Awaited<ReturnType<typeof startRedis>>;
let folder: string;
let api: ApiService;
let prefix: string;

beforeEach(async () => {
  redis = await startRedis();
  folder = await mkdtemp(join(tmpdir(), 'headstart-faults-'));
  prefix = `test-${randomUUID()}`;
  api = await startApi({
    REDIS_URL: redis.url,
    QUEUE_PREFIX: prefix,
    OUTPUT_URI: folderUri(join(folder, 'output')),
    FILE_ROOTS: folder,
    LOG_LEVEL: 'info',
  });
});
afterEach(async () => {
  killServices();
  await redis.stop();
  await rm(folder, { recursive: true, force: true });
});

async function setPolicy(appendfsync: string): Promise<void> {
  const connection = createRedis(redis.url, 'worker');
  await connection.config('SET', 'appendfsync', appendfsync);
  connection.disconnect();
}

/** Posts from many clients until Redis is gone. @returns when each job was acknowledged, by its id. */
async function postUntilKilled(
  body: string,
): Promise<{ acknowledged: Map<string, number>; perSecond: number }> {
  const acknowledged = new Map<string, number>();
  const refusals = new Set<string>();
  const startMs = performance.now();
  let perSecond = 0;
  const client = async () => {
    for (;;) {
      const response = await fetch(`${api.url}/jobs`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
      const answer = (await response.json()) as { id: string; code?: string };
      if (response.status !== 202) {
        refusals.add(`${response.status} ${answer.code}`);
        if (perSecond > 0) return;
        // A slow disk can make an answer too late before that.
        continue;
      }
      acknowledged.set(answer.id, performance.now());
      if (acknowledged.size === ACKNOWLEDGED) {
        perSecond = (1000 * ACKNOWLEDGED) / (performance.now() - startMs);
        redis.kill();
      }
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  // Those that were under way have heard that they may try again.
  expect([...refusals]).toEqual(['503 queue_unavailable']);
  return { acknowledged, perSecond };
}

async function missingOf(ids: Iterable<string>): Promise<string[]> {
  const queue = openQueueParts(redis.url, prefix);
  try {
    const missing: string[] = [];
    for (const id of ids) if ((await queue.redis.exists(queue.jobs.toKey(id))) === 0) missing.push(id);
    return missing;
  } finally {
    await queue.close();
  }
}

it.each([
  { policy: 'always', mayLoseMs: 0 },
  { policy: 'everysec', mayLoseMs: EVERYSEC_MAY_LOSE_MS },
  // What the process has handed to the kernel outlives it; what the kernel has not written is lost with the machine.
  { policy: 'no', mayLoseMs: 0 },
])(
  'a Redis with appendfsync $policy that is killed has what was acknowledged',
  async ({ policy, mayLoseMs }) => {
    await setPolicy(policy);
    const datasetUri = await makeFolders(join(folder, 'flowers'), ['tulip', 'daisy']);
    const { acknowledged, perSecond } = await postUntilKilled(
      JSON.stringify({ datasetUri, scenario: 'small-similar' }),
    );
    const killedAtMs = Math.max(...acknowledged.values());
    expect(acknowledged.size).toBeGreaterThanOrEqual(ACKNOWLEDGED);

    await redis.restart();
    await poll('the API to be ready', async () => ((await fetch(`${api.url}/readyz`)).ok ? true : null));
    const missing = await missingOf(acknowledged.keys());
    console.log(
      `appendfsync ${policy}: ${missing.length} of ${acknowledged.size} missing, ${Math.round(perSecond)} posts per second`,
    );
    for (const id of missing) expect(killedAtMs - (acknowledged.get(id) ?? 0)).toBeLessThan(mayLoseMs);
  },
);
