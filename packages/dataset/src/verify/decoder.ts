import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { DatasetLimits } from '../limits.js';
import type { Answer, Request } from './protocol.js';

const MAIN = fileURLToPath(new URL('./decoder-main.js', import.meta.url));

/** A process that decodes files that nobody has looked at: it may crash, or be stopped, and nothing else with it. */
export interface Decoder {
  /** One file at a time. @returns its answer, or how the process ended without one. */
  decode(file: string): Promise<Answer | { type: 'ended'; how: string }>;
  /** False once it can take no more files. */
  isAlive(): boolean;
  /** Ends the process at once; a file under way gets its end as answer. */
  kill(): void;
}

export function startDecoder(limits: DatasetLimits): Decoder {
  const child = fork(MAIN, [JSON.stringify(limits)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    // Options of the parent, a debugger's port or a heap size, are not the child's.
    execArgv: [],
  });
  let settle: ((answer: Awaited<ReturnType<Decoder['decode']>>) => void) | null = null;
  let end: string | null = null;
  const finish = (how: string) => {
    end ??= how;
    settle?.({ type: 'ended', how: end });
  };
  child.on('message', (answer) => {
    if ((answer as Answer).type === 'stopped') end = 'stopped';
    settle?.(answer as Answer);
  });
  child.on('exit', (code, signal) => finish(signal === null ? `exit code ${code}` : `signal ${signal}`));
  child.on('error', (error) => finish(error.message));
  return {
    decode: (file) =>
      new Promise((resolve) => {
        settle = resolve;
        if (end !== null) return finish(end);
        // A process that has just ended cannot hear it, which its end says better than this error.
        child.send({ file } satisfies Request, () => undefined);
      }),
    isAlive: () => end === null,
    kill: () => void child.kill('SIGKILL'),
  };
}
