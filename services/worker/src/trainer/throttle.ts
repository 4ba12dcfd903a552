import type { Progress } from '@headstart/contracts';

export interface ProgressThrottle {
  report(progress: Progress): void;
  /** Passes on the latest report, if it is held back. */
  flush(): void;
}

/**
 * Lets one report in `intervalMs` through, and always the first and the last of a phase.
 * A report that is held back goes when the interval is over, when the phase changes, or with `flush`.
 * @param now milliseconds, of a clock that never goes back.
 */
export function createProgressThrottle(
  send: (progress: Progress) => void,
  intervalMs: number,
  now: () => number = () => performance.now(),
): ProgressThrottle {
  let sentAtMs = -Infinity;
  let phase: Progress['phase'] | null = null;
  let held: Progress | null = null;
  let timer: NodeJS.Timeout | undefined;

  function pass(progress: Progress): void {
    clearTimeout(timer);
    timer = undefined;
    held = null;
    sentAtMs = now();
    phase = progress.phase;
    send(progress);
  }
  const flush = () => {
    if (held) pass(held);
  };

  return {
    report(progress) {
      if (progress.phase !== phase) {
        flush();
        pass(progress);
        return;
      }
      const waitMs = sentAtMs + intervalMs - now();
      if (waitMs <= 0 || progress.done === progress.total) {
        pass(progress);
        return;
      }
      held = progress;
      timer ??= setTimeout(flush, waitMs);
    },
    flush,
  };
}
