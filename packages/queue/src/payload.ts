import {
  type Artifacts,
  DEFAULT_TENANT,
  type EpochMetrics,
  type JobCheckpoint,
  type JobError,
  type JobRequest,
  type JobStatus,
  type Plan,
  type Runtime,
  type WebhookEvent,
} from '@headstart/contracts';
import type { Job } from 'bullmq';

/**
 * What an `Idempotency-Key` stands for.
 *
 * The job's id is made from the key: however many posts with it run at once, and wherever one of them breaks off, the queue
 * takes that id once. So a key is not reserved before its job is made, and a post that never came to its job blocks nobody. The
 * record of the key is written with the job, and says, when the job is gone, that it was there.
 */
export interface IdempotencyClaim {
  jobId: string;
  /** SHA-256 of the client's key, which may be guessed less easily than it may be shown. */
  keyDigest: string;
  /** SHA-256 of what was posted: the same key with another is refused. */
  requestDigest: string;
}

export interface JobEnding {
  status: Extract<JobStatus, 'succeeded' | 'failed' | 'canceled'>;
  error: JobError | null;
  /** ISO time. */
  at: string;
}

/**
 * Raised with every change of a payload that a worker of the release before would misread. Such a worker leaves newer ones alone, so workers
 * are upgraded before the API, or beside it.
 */
export const PAYLOAD_VERSION = 1;

/** What a job carries through the queue: with BullMQ's own fields the only record of it while it lives. */
export interface JobPayload {
  version: typeof PAYLOAD_VERSION;
  /** Whose the job is; see `tenantOf`. */
  tenant?: string;
  /** How many jobs of the tenant may run when this one starts, itself included; absent: any number. */
  maxRunning?: number;
  request: JobRequest;
  plan: Plan;
  /** URI of the model.json that `job:ID` weights stand for, else null. */
  jobModelUri: string | null;
  /** Of the HTTP request that made the job; every log line about the job has it. */
  requestId: string;
  /** The job's own folder, with a slash at its end. */
  outputUri: string;
  /**
   * `s3://` and `file://` URIs that the job may use, with all that is below: those of the key that it was posted with, and its own
   * folder. Absent: any.
   */
  uriPrefixes?: string[];
  metrics: EpochMetrics[];
  runtime: Runtime | null;
  artifacts: Artifacts | null;
  checkpoint?: JobCheckpoint | null;
  checkpointError?: JobError | null;
  warnings?: string[];
  /** ISO time of the first cancel request, which stays set whatever becomes of the job. */
  canceledAt: string | null;
  /** How the job ends, once that is decided; see `decideEnding`. */
  ending?: JobEnding;
  /** Of a job that was posted with an `Idempotency-Key`. */
  claim?: IdempotencyClaim;
  /** Of a retry: the job that it runs again. */
  retryOf?: string;
  /** ISO time of the first request to end training early. */
  finishRequestedAt?: string;
  /** ISO time at which a worker first started the job: BullMQ's own `processedOn` is of the last start. */
  startedAt?: string;
}

/** Whose a job is. Payloads of releases that had no tenants name none. */
export function tenantOf({ tenant }: Pick<JobPayload, 'tenant'>): string {
  return tenant ?? DEFAULT_TENANT;
}

/** Where a webhook goes: to the URL that the job named, or to an endpoint of its tenant, as that is when the webhook is sent. */
export type WebhookReceiver = { url: string } | { endpoint: { tenant: string; id: string } };

export type WebhookPayload = WebhookReceiver & {
  version: typeof PAYLOAD_VERSION;
  event: WebhookEvent;
  /** Of a replay: the `webhook-id` that it has too. */
  replayOf?: string;
};

/** BullMQ's record of a job. */
export type JobRecord = Job<JobPayload>;
export type WebhookRecord = Job<WebhookPayload>;
