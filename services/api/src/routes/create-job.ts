import { Job, JobRequest, type ObjectStores, Plan } from '@headstart/contracts';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { ApiConfig } from '../config.js';
import { IdempotencyHeaders } from '../http/common.js';
import { problemResponses } from '../http/problem-responses.js';
import { prepareJob } from '../jobs/prepare-job.js';
import { submitOnce } from '../jobs/submit-job.js';

const schema = {
  operationId: 'createJob',
  tags: ['jobs'],
  summary: 'Post a job',
  description:
    'Checks the request, resolves it to a plan and queues it. With `dryRun=true` it answers the plan and queues nothing. With an `Idempotency-Key` it can be sent again and again, and makes one job: the answer is that job as it is by then. A key is remembered for 31 days, and for as long as its job is kept.',
  querystring: z.strictObject({
    dryRun: z.enum(['true', 'false']).default('false').meta({ description: 'Answer the plan only.' }),
  }),
  headers: IdempotencyHeaders,
  body: JobRequest,
  response: {
    200: { description: 'The plan of a dry run.', content: { 'application/json': { schema: Plan } } },
    202: { description: 'The job, queued.', content: { 'application/json': { schema: Job } } },
    ...problemResponses(
      'invalid_request',
      'unknown_layer',
      'freeze_conflict',
      'uri_forbidden',
      'storage_forbidden',
      'storage_not_found',
      'payload_too_large',
      'unsupported_media_type',
      'dataset_not_found',
      'dataset_invalid',
      'idempotency_conflict',
      'job_gone',
      'quota_exceeded',
      'job_unreadable',
      'queue_unavailable',
    ),
  },
};

const route: FastifyPluginAsyncZod<{ config: ApiConfig; stores: ObjectStores }> = async (app, options) => {
  app.post('/jobs', { schema }, async (request, reply) => {
    const { body, query, log, caller } = request;
    const findJob = async (id: string) => (await app.findOwnJob(request, id)).job;
    const prepare = async () => ({
      request: body,
      ...(await prepareJob(body, { ...options, caller, findJob, log })),
    });
    if (query.dryRun === 'true')
      return reply
        .code(200)
        .type('application/json')
        .send((await prepare()).plan);
    // Asked before the data set is looked at, which can take longer than a client should wait for this answer.
    await app.jobs.check();
    const job = await submitOnce(app, request, body, prepare);
    log.info({ jobId: job.id }, 'job accepted');
    return reply.code(202).header('location', `/jobs/${job.id}`).type('application/json').send(job);
  });
};

export const createJobRoute = fp(route, { name: 'create-job', dependencies: ['own-jobs', 'openapi'] });
