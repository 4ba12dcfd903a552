import type { Job, JobRequest } from '@headstart/contracts';
import {
  claimFor,
  DEFAULT_PRIORITY,
  type IdempotencyClaim,
  type JobPayload,
  newJobId,
  PAYLOAD_VERSION,
} from '@headstart/queue';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { AppError } from '@headstart/contracts';
import { IDEMPOTENCY_KEY } from '../http/common.js';
import type { PreparedJob } from './prepare-job.js';

export interface Submission extends PreparedJob {
  request: JobRequest;
  /** Of a retry. */
  retryOf?: string;
}

/**
 * Queues a job, in a folder of its own, once for each `Idempotency-Key` of the tenant if the client sent one.
 * @param posted what two posts with one key must have in common.
 * @param prepare checks what was posted; not called where the key has made a job already.
 * @throws AppError('quota_exceeded'), AppError('idempotency_conflict'), AppError('job_gone') where the key's job was removed, and what `prepare` throws.
 */
export async function submitOnce(
  app: FastifyInstance,
  request: FastifyRequest,
  posted: unknown,
  prepare: () => Promise<Submission>,
): Promise<Job> {
  const key = request.headers[IDEMPOTENCY_KEY];
  const claim = typeof key === 'string' ? claimFor(request.caller.tenant, key, posted) : null;
  if (claim && (await app.jobs.isClaimed(claim))) return findClaimed(app, request, claim);
  const submission = await prepare();
  // Looked up again: while this post was prepared, another may have made the job, and somebody removed it.
  if (claim && (await app.jobs.isClaimed(claim))) return findClaimed(app, request, claim);
  const id = claim?.jobId ?? newJobId();
  return app.jobs.add(
    id,
    { ...payloadOf(submission, id, request), ...(claim && { claim }) },
    submission.request.priority ?? DEFAULT_PRIORITY,
    request.caller.quotas.queued,
  );
}

async function findClaimed(
  app: FastifyInstance,
  request: FastifyRequest,
  { jobId }: IdempotencyClaim,
): Promise<Job> {
  try {
    return (await app.findOwnJob(request, jobId)).job;
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'job_not_found') throw error;
    throw new AppError(
      'job_gone',
      `This Idempotency-Key made job ${jobId}, which has been removed since. Take a new key for a new job.`,
      { details: { jobId } },
    );
  }
}

function payloadOf(
  { request, plan, jobModelUri, outputBaseUri, uriPrefixes, retryOf }: Submission,
  id: string,
  { id: requestId, caller }: FastifyRequest,
): JobPayload {
  const outputUri = `${outputBaseUri}${id}/`;
  return {
    version: PAYLOAD_VERSION,
    tenant: caller.tenant,
    ...(caller.quotas.running !== null && { maxRunning: caller.quotas.running }),
    request,
    plan,
    jobModelUri,
    requestId,
    outputUri,
    ...(uriPrefixes !== null && { uriPrefixes: [...uriPrefixes, outputUri] }),
    metrics: [],
    runtime: null,
    artifacts: null,
    canceledAt: null,
    ...(retryOf !== undefined && { retryOf }),
  };
}
