import { readFileSync } from 'node:fs';
import { AppError } from '@headstart/contracts';

/** How often one looks within the limit. They are counted, so that a machine that slept blames nobody. */
const LOOKS = 10;
/** Share of one core that a process uses which works on something; one that only waits uses a tenth of it. */
const WORKING_SHARE = 0.01;
/** What Linux counts processor time in, in /proc, on every architecture that Node runs on. */
const MS_PER_TICK = 10;

export interface ProgressWatch {
  /** The process has reported something. */
  progressed(): void;
  end(): void;
}

/**
 * Calls `onStalled`, once, when a process has neither reported anything nor computed for `limitMs`.
 *
 * A native call reports nothing while it runs, which can be an hour for a large batch on a slow processor: what uses processor time counts as
 * progress too. Elsewhere than on Linux that is not known, and reports alone count.
 */
export function watchProgress(
  pid: number | undefined,
  limitMs: number,
  onStalled: () => void,
): ProgressWatch {
  const lookMs = limitMs / LOOKS;
  let idleLooks = 0;
  let cpuMs = cpuTimeOf(pid);
  const timer = setInterval(() => {
    const now = cpuTimeOf(pid);
    const computed = now !== null && cpuMs !== null && now - cpuMs >= lookMs * WORKING_SHARE;
    cpuMs = now;
    idleLooks = computed ? 0 : idleLooks + 1;
    if (idleLooks < LOOKS) return;
    clearInterval(timer);
    onStalled();
  }, lookMs);
  return {
    progressed() {
      idleLooks = 0;
    },
    end: () => clearInterval(timer),
  };
}

export function stalledError(limitMs: number): AppError {
  const minutes = limitMs / 60_000;
  return new AppError(
    'trainer_stalled',
    `The trainer process made no progress for ${minutes} minutes: it reported nothing and used no processor time. It was ended, and the job goes on from its last checkpoint while it has tries left.`,
    { details: { minutes } },
  );
}

/** Processor time that a process has used, all its threads, in ms; null where that cannot be known. See proc_pid_stat(5). */
function cpuTimeOf(pid: number | undefined): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field, the name in brackets, may hold anything; these are the fourteenth and fifteenth.
    const [user, system] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 13);
    return (Number(user) + Number(system)) * MS_PER_TICK;
  } catch {
    return null;
  }
}
