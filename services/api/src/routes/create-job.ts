import { Job, JobRequest, type ObjectStores, Plan } from '@headstart/contracts';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { ApiConfig } from '../config.js';
import { problemResponses } from '../http/problem-responses.js';
import { prepareJob } from '../jobs/prepare-job.js';
import { submitJob } from '../jobs/submit-job.js';

const schema = {
  operationId: 'createJob',
  tags: ['jobs'],
  summary: 'Post a job',
  description:
    'Checks the request, resolves it to a plan and queues it. With `dryRun=true` it answers the plan and queues nothing.',
  querystring: z.strictObject({
    dryRun: z.enum(['true', 'false']).default('false').meta({ description: 'Answer the plan only.' }),
  }),
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
      'queue_unavailable',
    ),
  },
};

const route: FastifyPluginAsyncZod<{ config: ApiConfig; stores: ObjectStores }> = async (app, options) => {
  app.post('/jobs', { schema }, async (request, reply) => {
    const findJob = async (id: string) => (await app.findOwnJob(request, id)).job;
    const isDryRun = request.query.dryRun === 'true';
    // Asked before the data set is looked at, which can take longer than a client should wait for this answer.
    if (!isDryRun) await app.jobs.check();
    const prepared = await prepareJob(request.body, { ...options, findJob, log: request.log });
    if (isDryRun) return reply.code(200).type('application/json').send(prepared.plan);
    const job = await submitJob(request.body, prepared, { jobs: app.jobs, requestId: request.id });
    return reply.code(202).header('location', `/jobs/${job.id}`).type('application/json').send(job);
  });
};

export const createJobRoute = fp(route, { name: 'create-job', dependencies: ['own-jobs', 'openapi'] });
