import { join } from 'node:path';
import { findExecutable } from '../processes.js';
import { TOOL_CACHE } from '../repo.js';
import { startRedisContainer } from './container.js';
import { unpackDebianRedis } from './debian.js';
import { launchRedis, ping, type RedisProgram } from './server.js';

export interface FoundRedis {
  url: string;
  /** For people: where it comes from. */
  how: string;
  stop: () => Promise<void>;
}

interface FindOptions {
  signal?: AbortSignal;
  /** True where a container is to be tried first; default false: it takes longer to start. */
  prefersContainer?: boolean;
}

/**
 * Finds a Redis, in this order: REDIS_URL; `redis-server` or `valkey-server` on PATH; the distribution's package,
 * unpacked without root; a container. What is started here ends with this process.
 *
 * A REDIS_URL that does not answer is an error: what was named is never replaced by something else.
 * @throws Error that says why each way failed, and what to do.
 */
export async function findRedis(options: FindOptions = {}): Promise<FoundRedis> {
  const url = process.env['REDIS_URL'];
  return url ? useGivenRedis(url) : startOwnRedis(options);
}

async function useGivenRedis(url: string): Promise<FoundRedis> {
  const { hostname, port, protocol } = new URL(url);
  try {
    // Over TLS the services' own client has to find out.
    if (protocol === 'redis:') await ping(hostname, Number(port || 6379));
  } catch (error) {
    throw new Error(
      `REDIS_URL is set, but ${hostname}:${port || 6379} does not answer (${messageOf(error)}). Start that server, or unset REDIS_URL to have one started.`,
      { cause: error },
    );
  }
  return { url, how: 'REDIS_URL', stop: () => Promise.resolve() };
}

interface OwnRedis extends FoundRedis {
  /** Ends it at once, and starts it again with the same data; null for a container. */
  kill: (() => void) | null;
  restart: (() => Promise<void>) | null;
}

/** As `findRedis`, but always a server of its own. */
export async function startOwnRedis({
  signal,
  prefersContainer = false,
}: FindOptions = {}): Promise<OwnRedis> {
  const ways: [string, () => Promise<Omit<OwnRedis, 'how'>>][] = [
    ['redis-server or valkey-server on PATH', async () => launchRedis(await installedRedis())],
    [
      "the distribution's package, unpacked in .cache",
      async () => launchRedis(await unpackDebianRedis(join(TOOL_CACHE, 'redis'), signal)),
    ],
  ];
  const container: (typeof ways)[number] = [
    'a container',
    async () => ({ ...(await startRedisContainer()), kill: null, restart: null }),
  ];
  if (prefersContainer) ways.unshift(container);
  else ways.push(container);
  const failures: string[] = [];
  for (const [how, start] of ways) {
    try {
      return { ...(await start()), how };
    } catch (error) {
      signal?.throwIfAborted();
      failures.push(`  ${how}: ${messageOf(error)}`);
    }
  }
  throw new Error(
    `No Redis could be found or started. Tried:\n${failures.join('\n')}\n` +
      'Set REDIS_URL to a running Redis, or install one (for example: apt-get install redis-server), or start Docker.',
  );
}

async function installedRedis(): Promise<RedisProgram> {
  const file = await findExecutable(['redis-server', 'valkey-server']);
  if (!file) throw new Error('neither is there');
  return { file, libraryFolders: [] };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message.trim() : String(error);
}
