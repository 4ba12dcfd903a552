import { AppError, canceledError, Job, type JobStatus, Progress } from '@headstart/contracts';
import { decodeFailure } from './failure.js';
import { type JobRecord, PAYLOAD_VERSION } from './payload.js';

/**
 * What a client sees of BullMQ's record.
 *
 * BullMQ's states become the five of the contract: waiting, prioritized, delayed and paused are `queued`, active is
 * `running`, completed is `succeeded`, and failed is `failed`, or `canceled` where that is the error's code. A job that
 * was canceled while no worker had it is `canceled` from that moment on, though its record ends only when a worker
 * picks it up and drops it. A job whose ending is decided is canceled no more, and ends as decided.
 *
 * Of a payload of a newer release, which there are during a rolling upgrade, what this one knows is shown, and the rest left out.
 *
 * @param record as just read; rejects with ioredis's error where Redis does not answer.
 * @throws AppError('job_unreadable') where a newer release has put something else in the place of what this one shows.
 */
export async function toJob(record: JobRecord): Promise<Job> {
  const state = await record.getState();
  if (!isNewer(record)) return viewOf(record, state);
  const job = viewOfNewer(record, state);
  if (job === null) throw jobUnreadable(record);
  return job;
}

/** Whether a newer release has queued the job. */
export function isNewer({ data: { version } }: JobRecord): boolean {
  return version > PAYLOAD_VERSION;
}

export function jobUnreadable({ id, data: { version } }: JobRecord): AppError {
  return new AppError(
    'job_unreadable',
    `Job ${id} is of a newer release, and this API process cannot read all of it. Try again: another process may, and this one will once it is upgraded.`,
    { details: { version, known: PAYLOAD_VERSION } },
  );
}

/** @returns null where what it comes to is no job of the contract. */
function viewOfNewer(record: JobRecord, state: string): Job | null {
  let job: Job;
  try {
    job = structuredClone(viewOf(record, state));
  } catch {
    return null;
  }
  for (const issue of Job.safeParse(job).error?.issues ?? []) {
    if (issue.code !== 'unrecognized_keys') return null;
    const holder = issue.path.reduce<unknown>(
      (value, key) => (value as Record<PropertyKey, unknown>)[key],
      job,
    );
    for (const key of issue.keys) delete (holder as Record<string, unknown>)[key];
  }
  return job;
}

function viewOf(record: JobRecord, state: string): Job {
  const { data } = record;
  const status = statusOf(record, state);
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
  // Removed after the record was read: the record is of the moment before.
  const isGone = state === 'unknown';
  if ((hasEnded || isGone) && record.finishedOn !== undefined) {
    if (ending) return ending.status;
    // A job that succeeded after a retry still has the reason why the try before failed.
    if (state === 'completed' || (isGone && !record.failedReason)) return 'succeeded';
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
