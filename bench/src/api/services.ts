import { on } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { createRedis } from '@headstart/queue';
import sharp from 'sharp';
import { freePort, type OwnedProcess, spawnOwned } from '../../../scripts/dist/processes.js';
import { startOwnRedis } from '../../../scripts/dist/redis/find.js';
import { REPO_ROOT } from '../../../scripts/dist/repo.js';

const READY_WITHIN_MS = 30_000;
const STOP_WITHIN_MS = 20_000;
const PICTURES = 10;
/** More requests than any run sends. */
const NO_RATE_LIMIT = '1000000000';

/** The service as its users run it, on this machine: Redis, an API, and a worker where one is started. */
export interface Service {
  url: string;
  /** A small job that can be posted. */
  job: object;
  /** Sets Redis's `appendfsync`, and forgets every job. */
  reset(appendfsync: string): Promise<void>;
  /** Resolves when it takes jobs. */
  startWorker(): Promise<void>;
  stop(): Promise<void>;
}

/** @param profileFolder where the API leaves a CPU profile when it stops, for Chrome's DevTools; null: none. */
export async function startService(profileFolder: string | null): Promise<Service> {
  const folder = await mkdtemp(join(tmpdir(), 'headstart-bench-'));
  const redis = await startOwnRedis();
  const owned: OwnedProcess[] = [];
  const port = await freePort();
  const common = {
    ...process.env,
    REDIS_URL: redis.url,
    FILE_ROOTS: folder,
  };
  const start = async (name: string, args: string[], env: Record<string, string>) => {
    const child = await spawnOwned(process.execPath, args, { env: { ...common, ...env } });
    // To a file, as a service's log goes; what reads a pipe here would take its share of the processor.
    child.stdout.pipe(createWriteStream(join(folder, `${name}.log`)));
    child.stderr.pipe(process.stderr);
    owned.push(child);
    return child;
  };
  const url = `http://127.0.0.1:${port}`;
  const profile = profileFolder === null ? [] : ['--cpu-prof', '--cpu-prof-dir', profileFolder];
  await start('api', [...profile, join(REPO_ROOT, 'services/api/dist/main.js')], {
    API_PORT: String(port),
    OUTPUT_URI: pathToFileURL(join(folder, 'output')).href,
    RATE_LIMIT_PER_MINUTE: NO_RATE_LIMIT,
  });
  await untilReady(`${url}/readyz`);
  return {
    url,
    job: {
      datasetUri: `${pathToFileURL(await drawPictures(join(folder, 'pictures'))).href}/`,
      scenario: 'small-different',
      model: { weights: 'random', inputSize: 32, featureLayer: 'block1_pool' },
    },
    async reset(appendfsync) {
      const connection = createRedis(redis.url, 'worker');
      // An fsync brings what earlier runs have left in memory to the disk, which would hold up the next one for seconds.
      await connection.config('SET', 'appendfsync', 'always');
      await connection.flushall();
      await connection.config('SET', 'appendfsync', appendfsync);
      connection.disconnect();
    },
    async startWorker() {
      const worker = await start('worker', [join(REPO_ROOT, 'services/worker/dist/main.js')], {
        WORK_DIR: join(folder, 'work'),
        CACHE_DIR: join(folder, 'cache'),
      });
      for await (const [line] of on(createInterface(worker.stdout), 'line', {
        close: ['close'],
      }) as AsyncIterable<[string]>)
        if (line.includes('"msg":"ready"')) return;
      throw new Error(`The worker ${await worker.ended}.`);
    },
    async stop() {
      await Promise.all(owned.map((child) => child.stop(STOP_WITHIN_MS)));
      await redis.stop();
      await rm(folder, { recursive: true });
    },
  };
}

async function drawPictures(folder: string): Promise<string> {
  for (const [name, background] of [
    ['dark', '#222'],
    ['light', '#ddd'],
  ] as const) {
    await mkdir(join(folder, name), { recursive: true });
    const bytes = await sharp({ create: { width: 32, height: 32, channels: 3, background } })
      .png()
      .toBuffer();
    for (let i = 0; i < PICTURES; i++) await writeFile(join(folder, name, `${i}.png`), bytes);
  }
  return folder;
}

async function untilReady(url: string): Promise<void> {
  const deadlineMs = Date.now() + READY_WITHIN_MS;
  for (;;) {
    const isReady = await fetch(url).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isReady) return;
    if (Date.now() > deadlineMs) throw new Error(`${url} was not ready within ${READY_WITHIN_MS} ms`);
    await delay(50);
  }
}
