import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '@headstart/contracts';
import type { SavedCheckpoint } from '@headstart/training';
import { Superseded } from './claim.js';

const FIRST_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 30_000;

export interface UploaderOptions {
  upload(checkpoint: SavedCheckpoint): Promise<void>;
  /** Called with every failed try, and with an upload that takes longer than `lateAfterMs`. */
  onFailed(error: AppError): void;
  lateAfterMs: number;
  /** Aborted: what is not up yet is not wanted any more. */
  signal: AbortSignal;
}

/** Brings checkpoints to the object store behind the training, which never waits for it. */
export interface Uploader {
  /** Takes over a checkpoint's folder, which is removed when it is up or no longer wanted. */
  add(checkpoint: SavedCheckpoint): void;
  /** Aborted with the reason, for which there is no use in training on: another attempt has the job. */
  readonly lost: AbortSignal;
  /**
   * Resolves when all that were added are up, or no longer wanted. No more may be added.
   * @param patienceMs how long failures are borne with.
   * @param signal ends the waiting, not the uploads.
   * @throws AppError of the last try, and the signal's reason.
   */
  drain(patienceMs: number, signal: AbortSignal): Promise<void>;
  /** Resolves when nothing is under way, as it is soon after the signal is aborted. */
  settled(): Promise<void>;
}

/**
 * One upload at a time, tried until it succeeds, 1 s to 30 s apart. Of those that wait only the newest and the best stay, so
 * that a store that is away for hours costs the disk of three checkpoints, whatever comes meanwhile.
 */
export function createUploader(options: UploaderOptions): Uploader {
  const { signal } = options;
  let waiting: SavedCheckpoint[] = [];
  let running: Promise<void> = Promise.resolve();
  let isRunning = false;
  let deadlineMs = Infinity;
  const draining = new AbortController();
  const lost = new AbortController();

  async function work(): Promise<void> {
    let tries = 0;
    try {
      while (waiting.length > 0 && !signal.aborted) {
        const checkpoint = waiting.shift()!;
        const error = await attempt(checkpoint);
        if (error === null) {
          tries = 0;
          await remove(checkpoint);
        } else {
          if (signal.aborted) return;
          options.onFailed(error);
          if (Date.now() >= deadlineMs || (draining.signal.aborted && !error.retryable)) throw error;
          keep([checkpoint, ...waiting]);
          await pause(Math.min(FIRST_DELAY_MS * 2 ** tries++, LONGEST_DELAY_MS));
        }
      }
    } finally {
      isRunning = false;
    }
  }

  /** Waits; not for long where it is drained meanwhile, or has been given up. */
  async function pause(ms: number): Promise<void> {
    const hurry = AbortSignal.any([draining.signal, signal]);
    await delay(ms, undefined, { signal: hurry }).catch(() => delay(FIRST_DELAY_MS));
  }

  async function attempt(checkpoint: SavedCheckpoint): Promise<AppError | null> {
    const late = setTimeout(() => options.onFailed(lateError(options.lateAfterMs)), options.lateAfterMs);
    try {
      await options.upload(checkpoint);
      return null;
    } catch (error) {
      if (error instanceof Superseded) throw error;
      return AppError.from(error);
    } finally {
      clearTimeout(late);
    }
  }

  /** Of those in the order they were made, the newest and the best so far. */
  function keep(all: SavedCheckpoint[]): void {
    const best = all.findLast(({ isBest }) => isBest);
    waiting = all.filter((one) => one === all.at(-1) || one === best);
    for (const one of all) if (!waiting.includes(one)) void remove(one);
  }

  return {
    lost: lost.signal,
    add(checkpoint) {
      keep([...waiting, checkpoint]);
      if (isRunning) return;
      isRunning = true;
      running = work();
      running.catch((error: unknown) => {
        if (error instanceof Superseded) lost.abort(error);
      });
    },
    async drain(patienceMs, ends) {
      deadlineMs = Date.now() + patienceMs;
      draining.abort();
      await Promise.race([running, aborted(ends)]);
    },
    settled: () => running.catch(() => undefined),
  };
}

/** Rejects with the signal's reason when it is aborted. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = () => reject(signal.reason as Error);
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
}

/** What cannot be removed now goes with the attempt's work folder. */
function remove({ directory }: SavedCheckpoint): Promise<void> {
  return rm(directory, { recursive: true, force: true }).catch(() => undefined);
}

function lateError(lateAfterMs: number): AppError {
  return new AppError(
    'storage_unavailable',
    `A checkpoint has been on its way to the object store for ${lateAfterMs / 1000} s, longer than training.checkpointEverySeconds. It is waited for.`,
  );
}
