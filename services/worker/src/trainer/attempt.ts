import type { ObjectStore, ObjectStores, Phase, Progress } from '@headstart/contracts';
import type { Assignment, FromTrainer } from '../trainer-protocol.js';
import type { Checkpoints } from './checkpoints.js';
import type { Claim } from './claim.js';
import type { Uploader } from './uploader.js';

export interface Signals {
  /** Aborted with an AppError: the job has to end. */
  stop: AbortSignal;
  /** Aborted with a TrainingInterrupted: the job is given back. */
  interrupt: AbortSignal;
  /** Aborted: training ends at the next step, and what it came to is published. */
  finish: AbortSignal;
}

/** What every phase works with. */
export interface Attempt {
  assignment: Assignment;
  stores: ObjectStores;
  /** The job's own folder. */
  store: ObjectStore;
  claim: Claim;
  checkpoints: Checkpoints;
  uploader: Uploader;
  signals: Signals;
  /** Either of the two: for all that can be left at any moment and done again. */
  signal: AbortSignal;
  say(message: FromTrainer): void;
  report(progress: Progress): void;
  begin(phase: Phase): void;
}
