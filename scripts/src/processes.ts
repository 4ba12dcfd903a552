import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, constants } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { delimiter, join } from 'node:path';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';

export const execFileAsync = promisify(execFile);

export interface OwnedProcess {
  readonly pid: number;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves when the process has ended, with a phrase that says how. */
  readonly ended: Promise<string>;
  /** Asks the process to end, and ends it and its descendants by force after `graceMs`. Resolves when it is gone. */
  stop(graceMs: number): Promise<void>;
  /** Ends the process and its descendants at once (SIGKILL). */
  kill(): void;
}

export interface OwnedProcessOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Folder to remove should this process end without stopping the child. */
  removeFolder?: string;
}

/**
 * Starts a process that never outlives this one.
 *
 * It gets a process group of its own, so that Ctrl-C in a terminal reaches this process alone, which then stops its
 * children in order. A small shell holds the other end of a pipe to us: when we end, however we end, the pipe closes and
 * the shell kills the group.
 */
export async function spawnOwned(
  command: string,
  args: string[],
  { env, cwd, removeFolder = '' }: OwnedProcessOptions = {},
): Promise<OwnedProcess> {
  const child = spawn(command, args, { env, cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`could not be started: ${error.message}`));
    child.once('exit', (code, signal) =>
      resolve(signal ? `was ended by ${signal}` : `ended with code ${code}`),
    );
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${command} ${await ended}`);

  const script = 'cat >/dev/null; kill -KILL "-$1" 2>/dev/null; [ -z "$2" ] || rm -rf "$2"';
  const watchdog = spawn('sh', ['-c', script, 'watchdog', String(pid), removeFolder], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  try {
    await once(watchdog, 'spawn');
  } catch (error) {
    signalGroup(pid, 'SIGKILL');
    throw new Error(`There is no shell to guard ${command} with: ${(error as Error).message}`, {
      cause: error,
    });
  }
  watchdog.unref();
  (watchdog.stdin as Socket).unref();
  const kill = () => signalGroup(pid, 'SIGKILL');
  void ended.then(() => {
    // Descendants go with their parent; then the watchdog has nothing left to guard.
    kill();
    if (watchdog.pid !== undefined) signalGroup(watchdog.pid, 'SIGKILL');
  });

  return {
    pid,
    stdout: child.stdout,
    stderr: child.stderr,
    ended,
    kill,
    async stop(graceMs) {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      const force = setTimeout(kill, graceMs);
      await ended;
      clearTimeout(force);
    },
  };
}

function signalGroup(groupId: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-groupId, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Absolute path of the first of `names` that is on PATH (or in `folders`), or null. */
export async function findExecutable(names: string[], folders: string[] = []): Promise<string | null> {
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  for (const name of names) {
    for (const folder of [...folders, ...path]) {
      const file = join(folder, name);
      try {
        await access(file, constants.X_OK);
        return file;
      } catch {
        // Not there: look in the next folder.
      }
    }
  }
  return null;
}

/** A TCP port of 127.0.0.1 that is free now. Another process may still take it: be ready to try again. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
