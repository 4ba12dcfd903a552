import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { AppError } from '@headstart/contracts';
import type { Logger } from 'pino';
import {
  type Assignment,
  type CheckpointUris,
  FromTrainer,
  type StopReason,
  stopError,
  type ToTrainer,
} from '../trainer-protocol.js';

/** A trainer that was told to stop, or said that it had ended, and has not ended by then is killed. */
const STOP_WITHIN_MS: Record<StopReason | 'ended', number> = {
  // A step can take longer, a native run hears nothing, and a store may not answer; what is in there is whole all the same. The job is
  // canceled within 5 s, with what its end takes.
  canceled: 4000,
  timed_out: 30_000,
  ended: 30_000,
};
/** Lines of a crashed trainer's stderr that its error quotes. */
const STDERR_LINES = 20;

type Last = Extract<FromTrainer, { type: 'done' | 'failed' | 'interrupted' | 'superseded' }>;
export type TrainerReport = Exclude<FromTrainer, Last | { type: 'ready' }>;

export type Outcome =
  { type: 'done' } | { type: 'failed'; error: AppError } | { type: 'interrupted' } | { type: 'superseded' };

export interface Trainer {
  pid: number | undefined;
  /** Resolves, never rejects, when the process has ended. */
  outcome: Promise<Outcome>;
  /** Makes the outcome a failure for that reason, unless the trainer is done already. */
  stop(reason: StopReason): void;
  /** Asks the trainer to end at the next place from which another attempt can go on. */
  interrupt(): void;
  /** Asks the trainer to end training at the next step, and to publish what it came to. */
  finish(): void;
  /** Ends the process at once, and makes the outcome a failure with that error, unless it has come to another already. */
  fail(error: AppError): void;
  /** Ends the process at once. */
  kill(): void;
}

/** Has a process train, one per attempt. */
export function startTrainer(
  child: ChildProcess,
  assignment: Assignment,
  logger: Logger,
  onReport: (report: TrainerReport) => void,
): Trainer {
  let last: Last | null = null;
  let stopReason: StopReason | null = null;
  let failure: AppError | null = null;
  let checkpoints: CheckpointUris | null = null;
  let isInterrupted = false;
  let killTimer: NodeJS.Timeout | undefined;
  const stderr = logOutput(child, logger);

  const kill = () => void child.kill('SIGKILL');
  const killLater = (why: StopReason | 'ended') => (killTimer ??= setTimeout(kill, STOP_WITHIN_MS[why]));
  const tell = (message: ToTrainer) => {
    // A trainer that has just ended cannot hear it, which its end says better than this error.
    if (child.connected) child.send(message, () => undefined);
  };

  child.on('message', (raw) => {
    const { data: message, error } = FromTrainer.safeParse(raw);
    if (!message) {
      logger.error({ err: error }, 'the trainer said what it must not say');
      kill();
      return;
    }
    switch (message.type) {
      case 'done':
      case 'failed':
      case 'interrupted':
      case 'superseded':
        last = message;
        killLater('ended');
        break;
      case 'ready':
        break;
      case 'log':
        logger[message.level](message.fields, message.message);
        onReport(message);
        break;
      case 'checkpoint':
        checkpoints = message.uris;
        onReport(message);
        break;
      default:
        onReport(message);
    }
  });

  const outcome = exitOf(child, logger).then((exit): Outcome => {
    clearTimeout(killTimer);
    if (last?.type === 'done' || last?.type === 'superseded') return { type: last.type };
    if (stopReason) return { type: 'failed', error: stopped(stopReason, assignment, last, checkpoints) };
    if (last?.type === 'failed') return { type: 'failed', error: AppError.fromJobError(last.error) };
    if (failure) return { type: 'failed', error: failure };
    if (isInterrupted || last?.type === 'interrupted') return { type: 'interrupted' };
    return { type: 'failed', error: crashed(exit, stderr) };
  });

  tell({ type: 'start', assignment });
  return {
    pid: child.pid,
    outcome,
    stop(reason) {
      stopReason ??= reason;
      tell({ type: 'stop', reason });
      killLater(reason);
    },
    interrupt() {
      isInterrupted = true;
      tell({ type: 'interrupt' });
    },
    finish: () => tell({ type: 'finish' }),
    fail(error) {
      failure ??= error;
      kill();
    },
    kill,
  };
}

/** Logs what the process prints. @returns the last lines of its stderr, as they come. */
function logOutput({ stdout, stderr }: ChildProcess, logger: Logger): string[] {
  const last: string[] = [];
  if (stderr)
    createInterface({ input: stderr }).on('line', (line) => {
      last.push(line);
      if (last.length > STDERR_LINES) last.shift();
      logger.debug({ line }, 'trainer stderr');
    });
  if (stdout)
    createInterface({ input: stdout }).on('line', (line) => logger.debug({ line }, 'trainer stdout'));
  return last;
}

/** How the process ended, when it has. */
function exitOf(child: ChildProcess, logger: Logger): Promise<string> {
  return new Promise((resolve) => {
    child.on('close', (code, signal) => {
      logger.debug({ exitCode: code, signal }, 'trainer ended');
      resolve(signal === null ? `exit code ${code}` : `signal ${signal}`);
    });
    child.on('error', (error) => {
      // Without a process there is no "close".
      if (child.pid === undefined) resolve(error.message);
    });
  });
}

/** The trainer's own error for the stop, or of one that was killed what it would have been, as far as that is known. */
function stopped(
  reason: StopReason,
  { plan }: Assignment,
  last: Last | null,
  checkpoints: CheckpointUris | null,
): AppError {
  if (last?.type === 'failed' && last.error.code === reason) return AppError.fromJobError(last.error);
  const error = stopError(reason, plan);
  if (checkpoints === null) return error;
  return new AppError(error.code, error.message, { details: { ...error.details, ...checkpoints } });
}

function crashed(exit: string, stderr: string[]): AppError {
  const hint = exit.includes('SIGKILL') ? ' The machine may have run out of memory.' : '';
  const lines = stderr.length > 0 ? ` It last wrote: ${stderr.slice(-3).join(' | ')}` : '';
  return new AppError(
    'trainer_crashed',
    `The trainer process ended without a word (${exit}).${hint}${lines}`,
    {
      details: { exit, stderr },
    },
  );
}
