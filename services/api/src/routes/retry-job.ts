import { AppError, Job, type ObjectStores } from '@headstart/contracts';
import { isNewer, jobUnreadable, refuseUnended } from '@headstart/queue';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { Caller } from '../callers/caller.js';
import { checkUri } from '../callers/uris.js';
import type { ApiConfig } from '../config.js';
import { IdempotencyHeaders, JobParams, NoQuery } from '../http/common.js';
import { problemResponses } from '../http/problem-responses.js';
import type { FoundJob } from '../plugins/queue.js';
import { checkLocations } from '../jobs/prepare-job.js';
import { type Submission, submitOnce } from '../jobs/submit-job.js';

const schema = {
  operationId: 'retryJob',
  tags: ['jobs'],
  summary: 'Run a job again',
  description:
    'Posts the request of a job that failed or was canceled again, as a new job with an id, a folder and webhooks of its own, and `retryOf`. What has ended stays as it is.',
  params: JobParams,
  querystring: NoQuery,
  headers: IdempotencyHeaders,
  response: {
    202: { description: 'The new job, queued.', content: { 'application/json': { schema: Job } } },
    ...problemResponses(
      'invalid_request',
      'uri_forbidden',
      'job_not_found',
      'job_not_ended',
      'job_ended',
      'idempotency_conflict',
      'job_gone',
      'quota_exceeded',
      'payload_too_large',
      'unsupported_media_type',
      'job_unreadable',
      'queue_unavailable',
    ),
  },
};

const route: FastifyPluginAsyncZod<{ config: ApiConfig; stores: ObjectStores }> = async (app, options) => {
  app.post('/jobs/:id/retry', { schema }, async (request, reply) => {
    const { id } = request.params;
    const prepare = async () =>
      retryOf(await app.findOwnJob(request, id), { ...options, caller: request.caller });
    const job = await submitOnce(app, request, { retryOf: id }, prepare);
    return reply.code(202).header('location', `/jobs/${job.id}`).type('application/json').send(job);
  });
};

/** The old job's request and plan, whose classes and earlier job's model are known already. */
function retryOf(
  { job, record }: FoundJob,
  context: { config: ApiConfig; stores: ObjectStores; caller: Caller },
): Submission {
  refuseUnended(job);
  if (job.status === 'succeeded')
    throw new AppError('job_ended', `Job ${job.id} has succeeded: there is nothing to run again.`, {
      details: { status: job.status },
    });
  // What this release does not know of the request would be lost.
  if (isNewer(record)) throw jobUnreadable(record);
  const { request, plan, jobModelUri } = record.data;
  if (jobModelUri !== null) checkUri('model.weights', jobModelUri, context.caller, context.config);
  return {
    request,
    plan,
    jobModelUri,
    ...checkLocations(request, context),
    retryOf: job.id,
  };
}

export const retryJobRoute = fp(route, { name: 'retry-job', dependencies: ['own-jobs', 'openapi'] });
