import { Job } from '@headstart/contracts';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { JobParams, NoQuery } from '../http/common.js';
import { problemResponses } from '../http/problem-responses.js';

const schema = {
  operationId: 'finishJob',
  tags: ['jobs'],
  summary: 'End training early, and publish the model',
  description:
    'Training ends at the next step, or at its first one where it has not begun; the epoch it is in is evaluated and counted as the last, and the model is published as at any other end. Asking again, or behind training, changes nothing.',
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
      'job_not_running',
      'payload_too_large',
      'unsupported_media_type',
      'job_unreadable',
      'queue_unavailable',
    ),
  },
};

const route: FastifyPluginAsyncZod = async (app) => {
  app.post('/jobs/:id/finish', { schema }, async (request, reply) => {
    const { record } = await app.findOwnJob(request, request.params.id);
    return reply.type('application/json').send(await app.jobs.finish(record));
  });
};

export const finishJobRoute = fp(route, { name: 'finish-job', dependencies: ['own-jobs', 'openapi'] });
