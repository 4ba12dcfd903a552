import { canceledError, type Job, type JobStatus, Progress } from '@headstart/contracts';
import { decodeFailure } from './failure.js';
import type { JobRecord } from './payload.js';

/**
 * What a client sees of BullMQ's record.
 *
 * BullMQ's states become the five of the contract: waiting, prioritized, delayed and paused are `queued`, active is
 * `running`, completed is `succeeded`, and failed is `failed`, or `canceled` where that is the error's code. A job that
 * was canceled while no worker had it is `canceled` from that moment on, though its record ends only when a worker
 * picks it up and drops it. A job whose ending is decided is canceled no more, and ends as decided.
 *
 * @param record as just read; rejects with ioredis's error where Redis does not answer.
 */
export async function toJob(record: JobRecord): Promise<Job> {
  const { data } = record;
  const status = statusOf(record, await record.getState());
  const progress = status === 'queued' ? null : (Progress.safeParse(record.progress).data ?? null);
  const dropped = status === 'canceled' && wasCanceledFirst(record);
  return {
    id: record.id ?? '',
    status,
    phase: progress?.phase ?? null,
    progress,
    metrics: data.metrics,
    request: data.request,
    plan: data.plan,
    artifacts: data.artifacts,
    checkpoint: data.checkpoint ?? null,
    checkpointError: data.checkpointError ?? null,
    warnings: data.warnings ?? [],
    error: errorOf(record, status),
    attempts: record.attemptsStarted,
    engine: data.runtime?.engine ?? null,
    device: data.runtime?.device ?? null,
    versions: data.runtime?.versions ?? null,
    priority: record.priority,
    metadata: data.request.metadata ?? {},
    retryOf: data.retryOf ?? null,
    finishRequestedAt: data.finishRequestedAt ?? null,
    createdAt: new Date(record.timestamp).toISOString(),
    startedAt: data.startedAt ?? (dropped ? null : isoOrNull(record.processedOn)),
    finishedAt: dropped ? data.canceledAt : isoOrNull(record.finishedOn),
  };
}

function statusOf(record: JobRecord, state: string): JobStatus {
  const { ending } = record.data;
  const hasEnded = state === 'completed' || state === 'failed';
  if (hasEnded && record.finishedOn !== undefined) {
    if (ending) return ending.status;
    // A job that succeeded after a retry still has the reason why the try before failed.
    if (state === 'completed') return 'succeeded';
    return decodeFailure(record.failedReason).code === 'canceled' ? 'canceled' : 'failed';
  }
  // Ended after the record was read: the record is of the moment before.
  const isCanceled = record.data.canceledAt !== null && (!ending || ending.status === 'canceled');
  if (hasEnded || state === 'active') return isCanceled && wasCanceledFirst(record) ? 'canceled' : 'running';
  return isCanceled ? 'canceled' : 'queued';
}

/** True for a job that was canceled before a worker (last) picked it up: that worker only drops it. */
function wasCanceledFirst({ data, processedOn }: JobRecord): boolean {
  return (
    data.canceledAt !== null && (processedOn === undefined || Date.parse(data.canceledAt) <= processedOn)
  );
}

function errorOf(record: JobRecord, status: JobStatus): Job['error'] {
  if (status === 'failed') return record.data.ending?.error ?? decodeFailure(record.failedReason);
  if (status === 'canceled') {
    // Of one that ran, its trainer's error, which says where the checkpoints are.
    const error = record.failedReason ? decodeFailure(record.failedReason) : null;
    return error?.code === 'canceled' ? error : canceledError().toJobError();
  }
  return null;
}

function isoOrNull(timeMs: number | undefined): string | null {
  return timeMs === undefined ? null : new Date(timeMs).toISOString();
}
