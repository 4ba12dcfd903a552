import { Job } from '@headstart/contracts';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { JobParams, NoQuery } from '../http/common.js';
import { problemResponses } from '../http/problem-responses.js';

const schema = {
  operationId: 'getJob',
  tags: ['jobs'],
  summary: 'Read a job',
  description:
    'Status, progress, metrics of every epoch so far, plan, artifacts and error. A job is kept for 7 days after it succeeded and for 30 after it failed or was canceled; its files stay.',
  params: JobParams,
  querystring: NoQuery,
  response: {
    200: { description: 'The job.', content: { 'application/json': { schema: Job } } },
    ...problemResponses('invalid_request', 'job_not_found', 'job_unreadable', 'queue_unavailable'),
  },
};

const route: FastifyPluginAsyncZod = async (app) => {
  app.get('/jobs/:id', { schema }, async (request, reply) => {
    const { job } = await app.findOwnJob(request, request.params.id);
    return reply.type('application/json').send(job);
  });
};

export const getJobRoute = fp(route, { name: 'get-job', dependencies: ['own-jobs', 'openapi'] });
