import { Job } from '@headstart/contracts';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { JobParams, NoQuery } from '../http/common.js';
import { problemResponses } from '../http/problem-responses.js';

const schema = {
  operationId: 'cancelJob',
  tags: ['jobs'],
  summary: 'Cancel a job',
  description:
    'A queued job is `canceled` with the answer. A running one stays `running` until its worker has let go of it. Canceling a canceled job again changes nothing.',
  params: JobParams,
  querystring: NoQuery,
  response: {
    200: {
      description: 'The job as it is after the request.',
      content: { 'application/json': { schema: Job } },
    },
    ...problemResponses(
      'invalid_request',
      'job_not_found',
      'job_ended',
      'payload_too_large',
      'unsupported_media_type',
      'job_unreadable',
      'queue_unavailable',
    ),
  },
};

const route: FastifyPluginAsyncZod = async (app) => {
  app.post('/jobs/:id/cancel', { schema }, async (request, reply) => {
    const { record } = await app.findOwnJob(request, request.params.id);
    return reply.type('application/json').send(await app.jobs.cancel(record));
  });
};

export const cancelJobRoute = fp(route, { name: 'cancel-job', dependencies: ['own-jobs', 'openapi'] });
