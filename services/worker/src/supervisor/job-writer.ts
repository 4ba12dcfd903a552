import type { Progress, StoredJobEvent } from '@headstart/contracts';
import {
  announceProgress,
  appendEvent,
  isLatestAttempt,
  type JobPayload,
  type JobRecord,
  queueProgress,
  type QueueParts,
  updatePayload,
} from '@headstart/queue';
import type { Logger } from 'pino';

/** Writes what an attempt reports into the job's record. */
export interface JobWriter {
  progress(progress: Progress): void;
  /** For those who listen to the job. */
  event(event: StoredJobEvent): void;
  update(change: (payload: JobPayload) => Partial<JobPayload>): void;
  /** Resolves when all that was handed in before has been written, however long Redis is away. */
  drained(): Promise<void>;
  /** Drops what is not written yet, and all that comes: the job is no longer this attempt's. */
  abandon(): void;
}

interface Write {
  kind: 'progress' | 'payload' | 'event';
  run(): Promise<void>;
}

/**
 * Makes a job's writer: one write at a time, in the order they came, so that nothing overtakes.
 *
 * While Redis is away writes wait. Of progress reports that wait one behind the other only the last is kept. What comes
 * from an attempt behind which another has started is dropped.
 * @param onPayload called with the payload behind each write to it: a message about what a client wants may have been lost.
 */
export function createJobWriter(
  parts: Pick<QueueParts, 'redis' | 'prefix' | 'webhooks'>,
  job: JobRecord,
  attempt: number,
  logger: Logger,
  onPayload: (payload: JobPayload) => void,
): JobWriter {
  const waiting: Write[] = [];
  let running: Promise<void> | null = null;
  let isAbandoned = false;

  async function work(): Promise<void> {
    for (let write = waiting.shift(); write; write = waiting.shift()) {
      try {
        await write.run();
      } catch (err) {
        logger.error({ err, kind: write.kind }, 'the job record could not be written');
      }
    }
    running = null;
  }

  function add(write: Write): void {
    if (isAbandoned) return;
    if (write.kind === 'progress' && waiting.at(-1)?.kind === 'progress') waiting.pop();
    waiting.push(write);
    running ??= work();
  }

  return {
    progress(progress) {
      add({
        kind: 'progress',
        async run() {
          if (!(await isLatestAttempt(parts.redis, job, attempt))) return;
          await job.updateProgress(progress);
          await announceProgress(parts, job.id ?? '', progress);
          await queueProgress(parts, job);
        },
      });
    },
    event(event) {
      add({
        kind: 'event',
        async run() {
          if (await isLatestAttempt(parts.redis, job, attempt)) await appendEvent(parts, job.id ?? '', event);
        },
      });
    },
    update(change) {
      add({
        kind: 'payload',
        async run() {
          const payload = await updatePayload(parts.redis, job, change, attempt);
          if (payload !== null) onPayload(payload);
        },
      });
    },
    async drained() {
      await running;
    },
    abandon() {
      isAbandoned = true;
      waiting.length = 0;
    },
  };
}
