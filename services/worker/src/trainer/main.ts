import { setPriority } from 'node:os';
import { AppError } from '@headstart/contracts';
import { loadH5Library, TrainingInterrupted } from '@headstart/training';
import type { FromTrainer } from '../trainer-protocol.js';
import { stopError, ToTrainer, type Assignment } from '../trainer-protocol.js';
import type { Signals } from './attempt.js';
import { Superseded } from './claim.js';
import { startEngine } from './engine.js';
import { runAssignment } from './run-assignment.js';

/** Below the supervisor and what else runs on the machine: a lock renewed late costs the whole attempt. */
const NICENESS = 5;

/** The trainer's process: one assignment, then its end. `trainer-protocol.ts` says how it talks. */
function main(): void {
  process.title = 'headstart-trainer';
  setPriority(NICENESS);
  const stop = new AbortController();
  const interrupt = new AbortController();
  const finish = new AbortController();
  let plan: Assignment['plan'] | null = null;
  /** What keeps an engine from loading is said by the start that a job needs it for. */
  let prepared: Promise<unknown> = Promise.resolve();

  // Without a supervisor nobody holds the job's lock: another worker may have it within seconds.
  process.on('disconnect', () => process.exit(1));
  // A terminal's Ctrl-C reaches the whole process group; when to end is the supervisor's to say.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => undefined);

  process.on('message', (raw) => {
    const message = ToTrainer.parse(raw);
    switch (message.type) {
      case 'prepare':
        prepared = Promise.allSettled([
          startEngine(message, { trainsConvolutions: false }),
          loadH5Library(),
        ]).then(() => say({ type: 'ready' }));
        break;
      case 'start':
        plan = message.assignment.plan;
        void run(prepared, message.assignment, {
          stop: stop.signal,
          interrupt: interrupt.signal,
          finish: finish.signal,
        });
        break;
      case 'stop':
        if (plan) stop.abort(stopError(message.reason, plan));
        break;
      case 'interrupt':
        interrupt.abort(new TrainingInterrupted('The job was given back.'));
        break;
      case 'finish':
        finish.abort();
        break;
    }
  });
}

async function run(prepared: Promise<unknown>, assignment: Assignment, signals: Signals): Promise<void> {
  let last: FromTrainer;
  try {
    await prepared;
    await runAssignment(assignment, signals, say);
    last = { type: 'done' };
  } catch (error) {
    if (error instanceof TrainingInterrupted) last = { type: 'interrupted' };
    else if (error instanceof Superseded) last = { type: 'superseded' };
    else {
      const appError = AppError.from(error);
      // What nobody foresaw is of no use without its place.
      if (appError.code === 'internal_error' && error instanceof Error)
        process.stderr.write(`${error.stack ?? error.message}\n`);
      last = { type: 'failed', error: appError.toJobError() };
    }
  }
  // Native libraries may keep the process alive; by now it has nothing left to do.
  say(last, () => process.exit(0));
}

function say(message: FromTrainer, afterwards?: () => void): void {
  process.send?.(message, undefined, undefined, () => afterwards?.());
}

main();
