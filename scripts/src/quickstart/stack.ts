import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { type OwnedProcess, spawnOwned } from '../processes.js';
import { type FoundRedis, findRedis } from '../redis/find.js';
import { REPO_ROOT } from '../repo.js';

const START_TIMEOUT_MS = 60_000;
/** A little more than the grace that the services themselves are given. */
const STOP_GRACE_MS = 8_000;

/** Folders of a quickstart, below one root that is not in version control. */
export interface Folders {
  root: string;
  pictures: string;
  output: string;
  work: string;
  cache: string;
  logs: string;
}

export interface Stack {
  baseUrl: string;
  redis: FoundRedis;
  /** Rejects, naming its log file, when a service ends though nobody stopped it. */
  failed: Promise<never>;
  /** Stops worker, API and Redis, in this order. */
  stop(): Promise<void>;
}

export async function prepareFolders(): Promise<Folders> {
  const root = join(REPO_ROOT, 'data', 'quickstart');
  const below = (name: string) => join(root, name);
  const folders = {
    root,
    pictures: below('pictures'),
    output: below('output'),
    work: below('work'),
    cache: below('cache'),
    logs: below('logs'),
  };
  // What an earlier run left half-done; its output and its downloads stay.
  await Promise.all(
    [folders.work, folders.logs].map((folder) => rm(folder, { recursive: true, force: true })),
  );
  await Promise.all(Object.values(folders).map((folder) => mkdir(folder, { recursive: true })));
  return folders;
}

/** Finds a Redis and starts an API and a worker on it. Where one fails, the others are stopped again. */
export async function startStack(
  folders: Folders,
  { imagenetUrl, signal }: { imagenetUrl: string; signal: AbortSignal },
): Promise<Stack> {
  const stops: (() => Promise<void>)[] = [];
  const stop = async () => {
    while (stops.length > 0) await stops.pop()?.();
  };
  try {
    const redis = await findRedis({ signal });
    stops.push(redis.stop);
    const services = [
      startService('api', 'listening', folders, {
        ...sharedEnvironment(folders, redis),
        API_HOST: '127.0.0.1',
        API_PORT: '0',
        OUTPUT_URI: pathToFileURL(`${folders.output}/`).href,
      }),
      startService('worker', 'ready', folders, {
        ...sharedEnvironment(folders, redis),
        WORK_DIR: folders.work,
        CACHE_DIR: folders.cache,
        IMAGENET_WEIGHTS_URL: imagenetUrl,
        SHUTDOWN_GRACE_SECONDS: '5',
      }),
    ] as const;
    const started: Service[] = [];
    for (const service of services) {
      const { child } = await service;
      stops.push(() => child.stop(STOP_GRACE_MS));
      started.push(await service);
    }
    const failed = Promise.race(started.map((service) => service.failed));
    failed.catch(() => undefined);
    const lines = await Promise.race([
      Promise.all(started.map((service) => service.ready)),
      failed,
      aborted(signal),
    ]);
    return { baseUrl: String(lines[0]?.['address']), redis, failed, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function sharedEnvironment(folders: Folders, redis: FoundRedis): NodeJS.ProcessEnv {
  return {
    ...process.env,
    REDIS_URL: redis.url,
    // A Redis that others use as well keeps their jobs and ours apart.
    QUEUE_PREFIX: `headstart-quickstart-${process.pid}`,
    FILE_ROOTS: folders.root,
    LOG_LEVEL: 'info',
  };
}

interface Service {
  child: OwnedProcess;
  /** The log line that says that it is up. */
  ready: Promise<Record<string, unknown>>;
  failed: Promise<never>;
}

async function startService(
  name: string,
  readyMessage: string,
  folders: Folders,
  env: NodeJS.ProcessEnv,
): Promise<Service> {
  const logFile = join(folders.logs, `${name}.log`);
  const child = await spawnOwned(process.execPath, [join(REPO_ROOT, 'services', name, 'dist/main.js')], {
    env,
  });
  const log = createWriteStream(logFile);
  const tail: string[] = [];
  const ready = new Promise<Record<string, unknown>>((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`The ${name} was not ready within ${START_TIMEOUT_MS / 1000} s. Its log: ${logFile}`));
    }, START_TIMEOUT_MS);
    void child.ended.then(() => clearTimeout(timer));
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        log.write(`${line}\n`);
        tail.push(line);
        if (tail.length > 10) tail.shift();
        const entry = parseLogLine(line);
        if (entry?.['msg'] !== readyMessage) return;
        clearTimeout(timer);
        resolve(entry);
      });
    }
  });
  const failed = child.ended.then(async (how) => {
    log.end();
    await once(log, 'close');
    throw new Error(`The ${name} ${how}. Its log, ${logFile}, ends with:\n${tail.join('\n')}`);
  });
  failed.catch(() => undefined);
  ready.catch(() => undefined);
  return { child, ready, failed };
}

function parseLogLine(line: string): Record<string, unknown> | null {
  if (!line.startsWith('{')) return null;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    // Not a line of the logger.
    return null;
  }
}

/** Rejects with the signal's reason once it is aborted. */
export async function aborted(signal: AbortSignal): Promise<never> {
  if (!signal.aborted) await once(signal, 'abort');
  throw signal.reason;
}
