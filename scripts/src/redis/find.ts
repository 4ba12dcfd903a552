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

/**
 * Finds a Redis, in this order: REDIS_URL; `redis-server` or `valkey-server` on PATH; the distribution's package,
 * unpacked without root; a container. What is started here ends with this process.
 *
 * A REDIS_URL that does not answer is an error: what was named is never replaced by something else.
 * @throws Error that says why each way failed, and what to do.
 */
export async function findRedis(options: { signal?: AbortSignal } = {}): Promise<FoundRedis> {
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

/** As `findRedis`, but always a server of its own; `kill` is null for a container. */
export async function startOwnRedis({ signal }: { signal?: AbortSignal } = {}): Promise<
  FoundRedis & { kill: (() => void) | null }
> {
  const failures: string[] = [];
  const attempt = async <T>(way: string, start: () => Promise<T>): Promise<T | null> => {
    try {
      return await start();
    } catch (error) {
      signal?.throwIfAborted();
      failures.push(`  ${way}: ${messageOf(error)}`);
      return null;
    }
  };

  const programs: [string, () => Promise<RedisProgram>][] = [
    ['redis-server or valkey-server on PATH', installedRedis],
    [
      "the distribution's package, unpacked in .cache",
      () => unpackDebianRedis(join(TOOL_CACHE, 'redis'), signal),
    ],
  ];
  for (const [way, find] of programs) {
    const server = await attempt(way, async () => launchRedis(await find()));
    if (server) return { ...server, how: way };
  }
  const container = await attempt('a container', startRedisContainer);
  if (container) return { ...container, how: 'a container', kill: null };
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
