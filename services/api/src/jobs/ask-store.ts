import { AppError } from '@headstart/contracts';
import { setTimeout as delay } from 'node:timers/promises';

/** Well below the server's time limit of a connection, after which the client would get no answer at all. */
const ANSWER_WITHIN_MS = 10_000;

/**
 * Waits for an object store no longer than a client can. What the store was asked goes on.
 * @param uri for the message.
 * @throws AppError('storage_unavailable') where it has not answered by then, and what `work` throws.
 */
export async function askStore<T>(uri: string, work: Promise<T>, withinMs = ANSWER_WITHIN_MS): Promise<T> {
  const answered = new AbortController();
  const late = delay(withinMs, undefined, { signal: answered.signal }).then(() => {
    throw new AppError(
      'storage_unavailable',
      `${uri} has not answered within ${withinMs / 1000} s. Try again.`,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    answered.abort();
  }
}
