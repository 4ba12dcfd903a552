import { AppError, type Job, type Progress } from '@headstart/contracts';
import type { JobEventEntry } from '@headstart/queue';
import type { JobsPort } from '../plugins/queue.js';

/** Events that a feed keeps at hand; who is further behind reads the stream for itself. */
const KEPT = 500;
const PAGE = 200;

/** Where a job and its events stand; `job` is null where Redis did not answer. */
export interface FeedState {
  job: Job | null;
  /** True where the job is no longer kept. */
  isGone: boolean;
}

/**
 * One job's events for all who listen to it: each is read from Redis once, however many they are.
 *
 * A listener takes `version`, refreshes, takes what is behind its own place, and waits until the version is another one.
 */
export class JobFeed {
  progress: Progress | null = null;
  version = 0;
  #events: JobEventEntry[] = [];
  /** Everything behind this entry is in `#events`, as far as it has been read. */
  #floor: string;
  #refreshed: { version: number; state: Promise<FeedState> } | null = null;
  #waiting = new Set<() => void>();
  readonly #id: string;
  readonly #jobs: JobsPort;

  /** @param floor the place of the first listener. */
  constructor(jobs: JobsPort, id: string, floor: string) {
    this.#jobs = jobs;
    this.#id = id;
    this.#floor = floor;
  }

  /** There may be something new: in the stream, in the job's record, or progress. */
  announce(progress: Progress | null): void {
    if (progress) this.progress = progress;
    this.version++;
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const wake of waiting) wake();
  }

  /** Resolves as soon as the version is another one than `seen`, or the signal is aborted. */
  async changed(seen: number, signal: AbortSignal): Promise<void> {
    if (this.version !== seen || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  /** Reads the record and then what is new of the stream: all events of an ended job are there. Once for each version. */
  refresh(): Promise<FeedState> {
    const before = this.#refreshed;
    if (before?.version === this.version) return before.state;
    // One behind the other: two at once would both read, and keep, the same events.
    const state = before ? before.state.then(() => this.#read()) : this.#read();
    this.#refreshed = { version: this.version, state };
    return state;
  }

  /** The next events behind an entry, the oldest first; none where there are none yet. */
  async after(entry: string): Promise<JobEventEntry[]> {
    if (isBefore(entry, this.#floor)) return this.#jobs.readEvents(this.#id, entry, PAGE);
    return this.#events.filter(({ id }) => isBefore(entry, id));
  }

  async #read(): Promise<FeedState> {
    try {
      const { job } = await this.#jobs.find(this.#id, null);
      for (;;) {
        const last = this.#events.at(-1)?.id ?? this.#floor;
        const events = await this.#jobs.readEvents(this.#id, last, PAGE);
        this.#events.push(...events);
        const dropped = this.#events.splice(0, Math.max(0, this.#events.length - KEPT));
        this.#floor = dropped.at(-1)?.id ?? this.#floor;
        if (events.length < PAGE) return { job, isGone: false };
      }
    } catch (error) {
      // Redis is away: listeners stay, and hear the next time.
      return { job: null, isGone: error instanceof AppError && error.code === 'job_not_found' };
    }
  }
}

/** Whether one entry of a stream comes before another. */
export function isBefore(a: string, b: string): boolean {
  const [aTime = 0, aNumber = 0] = a.split('-').map(Number);
  const [bTime = 0, bNumber = 0] = b.split('-').map(Number);
  return aTime < bTime || (aTime === bTime && aNumber < bNumber);
}
