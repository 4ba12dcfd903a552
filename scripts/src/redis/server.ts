import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort, spawnOwned, type OwnedProcess } from '../processes.js';

const START_TIMEOUT_MS = 15_000;
const STOP_GRACE_MS = 5_000;
const PORT_ATTEMPTS = 5;

/** A program that runs as a Redis server. */
export interface RedisProgram {
  file: string;
  /** Folders of the libraries it needs besides the system's own. */
  libraryFolders: string[];
}

export interface RedisServer {
  url: string;
  /** Ends the server and removes its data. */
  stop: () => Promise<void>;
  /** SIGKILL: the server is gone at once, as in a crash. Call `stop` afterwards to remove its data. */
  kill: () => void;
  /** Starts it again after `kill`, on the same port and with the same data. */
  restart: () => Promise<void>;
}

/** The settings that a job queue needs: nothing is evicted, and at most a second of writes is lost in a crash. */
export const REDIS_SETTINGS = [
  ['--save', ''],
  ['--appendonly', 'yes'],
  ['--appendfsync', 'everysec'],
  ['--maxmemory-policy', 'noeviction'],
  ['--daemonize', 'no'],
].flat();

/** Starts a Redis server on a free port of 127.0.0.1, with its data in a temporary folder. It ends with this process. */
export async function launchRedis(program: RedisProgram): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'headstart-redis-'));
  try {
    for (let attempt = 1; ; attempt++) {
      const port = await freePort();
      let server = await spawnServer(program, folder, port);
      const failure = await waitUntilReady(server, port);
      if (failure === null) {
        return {
          url: `redis://127.0.0.1:${port}`,
          kill: () => server.kill(),
          async restart() {
            await server.ended;
            server = await spawnServer(program, folder, port);
            const why = await waitUntilReady(server, port);
            if (why !== null) throw new Error(why);
          },
          async stop() {
            await server.stop(STOP_GRACE_MS);
            await rm(folder, { recursive: true, force: true });
          },
        };
      }
      await server.stop(STOP_GRACE_MS);
      if (attempt === PORT_ATTEMPTS || !/address already in use/i.test(failure)) throw new Error(failure);
    }
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

function spawnServer(program: RedisProgram, folder: string, port: number): Promise<OwnedProcess> {
  const libraries = [...program.libraryFolders, process.env['LD_LIBRARY_PATH'] ?? '']
    .filter(Boolean)
    .join(':');
  const args = ['--bind', '127.0.0.1', '--port', String(port), '--dir', folder, ...REDIS_SETTINGS];
  return spawnOwned(program.file, args, {
    env: { ...process.env, ...(libraries && { LD_LIBRARY_PATH: libraries }) },
    removeFolder: folder,
  });
}

/** @returns null once the server answers, or why it does not. */
async function waitUntilReady(server: OwnedProcess, port: number): Promise<string | null> {
  const output: string[] = [];
  const announced = new Promise<'announced'>((resolve) => {
    for (const stream of [server.stdout, server.stderr]) {
      // The lines are read to the end of the server's life, or its pipe would fill and block it.
      createInterface({ input: stream }).on('line', (line) => {
        if (output.length < 50) output.push(line);
        if (line.includes('Ready to accept connections')) resolve('announced');
      });
    }
  });
  const timeout = AbortSignal.timeout(START_TIMEOUT_MS);
  const timedOut = once(timeout, 'abort').then(() => `was not ready within ${START_TIMEOUT_MS / 1000} s`);
  const outcome = await Promise.race([announced, server.ended, timedOut]);
  if (outcome === 'announced') {
    await ping('127.0.0.1', port);
    return null;
  }
  return `The Redis server ${outcome}:\n${output.join('\n')}`;
}

/** Sends PING and waits for any reply of the Redis protocol ("-NOAUTH ..." shows a server too). */
export async function ping(host: string, port: number): Promise<void> {
  const socket = connect({ host, port });
  socket.setTimeout(5_000, () => socket.destroy(new Error(`${host}:${port} did not answer PING within 5 s`)));
  try {
    socket.write('PING\r\n');
    const closed = once(socket, 'close').then(() => {
      throw new Error(`${host}:${port} closed the connection without an answer to PING`);
    });
    const [reply] = (await Promise.race([once(socket, 'data'), closed])) as [Buffer];
    if (!/^[+-]/.test(reply.toString()))
      throw new Error(`${host}:${port} answered PING with something that is not Redis`);
  } finally {
    socket.destroy();
  }
}
