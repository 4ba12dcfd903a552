import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import type { EngineChoice, ToTrainer } from '../trainer-protocol.js';

const TRAINER = fileURLToPath(new URL('../trainer/main.js', import.meta.url));

/** Trainer processes; one that waits has its libraries and its engine loaded, which takes longer than many a job's data. */
export interface Reserve {
  /** A process that waits for its assignment, or has just been started. */
  take(choice: EngineChoice): ChildProcess;
  /** Starts a process to wait, unless there is one. */
  refill(choice: EngineChoice): void;
  /** Ends the process that waits, and starts no more. */
  close(): void;
}

/** @param env of the processes. */
export function createReserve(env: NodeJS.ProcessEnv, logger: Logger): Reserve {
  let waiting: { child: ChildProcess; choice: string } | null = null;
  let isClosed = false;

  const forget = () => {
    const child = waiting?.child;
    waiting = null;
    return child;
  };
  return {
    take(choice) {
      const isFit = waiting?.choice === JSON.stringify(choice) && waiting.child.connected;
      const child = forget();
      if (isFit && child) return child;
      // A library that is loaded has its number of threads for good.
      child?.kill('SIGKILL');
      return startProcess(env);
    },
    refill(choice) {
      if (waiting?.child.connected || isClosed) return;
      // Not started, or ended by itself, it is as if it had never been: the next trainer is started when it is needed.
      const child = tryStart(env, logger);
      if (!child?.connected) return;
      waiting = { child, choice: JSON.stringify(choice) };
      child.once('message', () => logger.debug({ trainerPid: child.pid }, 'a trainer is ready'));
      child.send({ type: 'prepare', ...choice } satisfies ToTrainer, () => undefined);
    },
    close() {
      isClosed = true;
      forget()?.kill('SIGKILL');
    },
  };
}

/** Null where the system starts none, for want of memory for example. */
function tryStart(env: NodeJS.ProcessEnv, logger: Logger): ChildProcess | null {
  const note = (err: unknown) => logger.warn({ err }, 'no trainer waits for the next job');
  try {
    return startProcess(env).on('error', note);
  } catch (err) {
    note(err);
    return null;
  }
}

function startProcess(env: NodeJS.ProcessEnv): ChildProcess {
  return fork(TRAINER, { env, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
}
