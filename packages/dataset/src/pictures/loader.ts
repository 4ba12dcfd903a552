import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Augmentation } from '@headstart/contracts';
import { DECODE_CONCURRENCY, type PictureLimits } from '../limits.js';

/** What every picture of a run goes through. */
export interface LoaderSettings {
  /** Pixels a side of the result. */
  size: number;
  limits: PictureLimits;
  augmentation: Augmentation | null;
  seed: number;
}

export interface LoadRequest {
  id: number;
  file: string;
  /** What seeds the random changes; null for none. */
  draw: { epoch: number; index: number } | null;
}

export type LoadAnswer = { id: number; rgb: Float32Array } | { id: number; error: string };

/** Decodes, resizes and augments pictures on threads of its own: they go on while an engine has the main one. */
export interface PictureLoader {
  /**
   * What `decodePicture`, and `augmentPicture` where something is drawn, make of the file.
   * @returns RGB [size, size, 3] float32, 0..255.
   */
  load(file: string, draw: LoadRequest['draw']): Promise<Float32Array>;
  /** Ends the threads. What is under way is never answered. */
  close(): Promise<void>;
}

interface Waiting {
  resolve(rgb: Float32Array): void;
  reject(error: Error): void;
}

/** Starts no thread before the first picture. */
export function createPictureLoader(settings: LoaderSettings): PictureLoader {
  const threadCount = Math.min(DECODE_CONCURRENCY, availableParallelism());
  const threads: Worker[] = [];
  const waiting = new Map<number, Waiting>();
  let asked = 0;
  let failure: Error | null = null;

  function startThread(): Worker {
    const thread = new Worker(new URL('./loader-thread.js', import.meta.url), { workerData: settings });
    thread.on('message', (answer: LoadAnswer) => {
      const one = waiting.get(answer.id);
      waiting.delete(answer.id);
      if ('rgb' in answer) one?.resolve(answer.rgb);
      else one?.reject(new Error(answer.error));
    });
    // Out of memory, for example. Its part of what waits cannot be told from the others'.
    thread.on('error', (error: Error) => {
      failure = error;
      for (const { reject } of waiting.values()) reject(error);
      waiting.clear();
    });
    return thread;
  }

  return {
    load(file, draw) {
      if (failure) return Promise.reject(failure);
      const id = asked++;
      // Handed out at once, and in turn: a thread that is done must not wait for the main one.
      const thread = (threads[id % threadCount] ??= startThread());
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        thread.postMessage({ id, file, draw } satisfies LoadRequest);
      });
    },
    async close() {
      await Promise.all(threads.map((thread) => thread.terminate()));
    },
  };
}
