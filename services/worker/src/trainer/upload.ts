import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { AppError, type JobError } from '@headstart/contracts';
import type { Assignment } from '../trainer-protocol.js';
import { Superseded } from './claim.js';
import type { PutCheckpoint } from './put-checkpoint.js';

export interface UploadSettings extends Pick<Assignment, 'storage' | 'outputUri' | 'uriPrefixes'> {
  /** Number of the attempt's claim. */
  claim: number;
}

export type UploadRequest = { directory: string; folder: string } | 'abort';

export type UploadAnswer =
  { type: 'done' } | { type: 'superseded'; message: string } | { type: 'failed'; error: JobError };

/** `putCheckpoint` on a thread of its own: an engine has the main one for most of the time. */
export interface UploadThread {
  /** One at a time. */
  put: PutCheckpoint;
  close(): Promise<void>;
}

/** Starts no thread before the first checkpoint. @param signal aborted: what is under way ends, with an error. */
export function createUploadThread(
  { storage, outputUri, uriPrefixes, claim }: UploadSettings,
  signal: AbortSignal,
): UploadThread {
  const workerData: UploadSettings = { storage, outputUri, uriPrefixes, claim };
  let thread: Worker | undefined;

  function start(): Worker {
    const started = new Worker(new URL('./upload-thread.js', import.meta.url), { workerData });
    signal.addEventListener('abort', () => started.postMessage('abort' satisfies UploadRequest), {
      once: true,
    });
    started.on('error', () => (thread = undefined));
    return started;
  }

  return {
    async put(directory, folder) {
      signal.throwIfAborted();
      thread ??= start();
      thread.postMessage({ directory, folder } satisfies UploadRequest);
      // Rejects where the thread dies, out of memory for example.
      const [answer] = (await once(thread, 'message')) as [UploadAnswer];
      switch (answer.type) {
        case 'done':
          return;
        case 'superseded':
          throw new Superseded(answer.message);
        case 'failed':
          throw AppError.fromJobError(answer.error);
      }
    },
    async close() {
      await thread?.terminate();
    },
  };
}
