import { type AppError, ERRORS, JobError } from '@headstart/contracts';
import { UnrecoverableError } from 'bullmq';

/** BullMQ keeps one string of a failure, `failedReason`: ours is the whole error as JSON. */
export function encodeFailure(error: AppError): string {
  return JSON.stringify(error.toJobError());
}

/**
 * Reads a `failedReason` back. One that is not ours comes from BullMQ itself, which fails a job on its own only when
 * the workers that held it stopped renewing its lock too often: `worker_lost`.
 */
export function decodeFailure(reason: string): JobError {
  const parsed = JobError.safeParse(parseJson(reason));
  if (parsed.success) return parsed.data;
  return {
    code: 'worker_lost',
    title: ERRORS.worker_lost.title,
    detail: `No worker finished the job: ${reason || 'no reason is on record'}. See the workers' logs, then post the job again.`,
    retryable: ERRORS.worker_lost.retryable,
  };
}

/**
 * The error that a processor throws: BullMQ tries the job again for a retryable one and ends it for any other.
 * Nothing else decides that.
 */
export function toQueueError(error: AppError): Error {
  const reason = encodeFailure(error);
  const queueError = error.retryable ? new Error(reason) : new UnrecoverableError(reason);
  queueError.cause = error;
  return queueError;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
