import { JobList, ListQuery, summarize } from '@headstart/contracts';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { problemResponses } from '../http/problem-responses.js';

const schema = {
  operationId: 'listJobs',
  tags: ['jobs'],
  summary: 'List jobs',
  description:
    'Newest first, in pages. Over pages that are read one behind the other no job is missed or repeated, whatever becomes of the jobs meanwhile; jobs that are removed drop out, and jobs that are posted meanwhile come before the first page. During an upgrade, jobs of a newer release that this one cannot read are left out.',
  querystring: ListQuery,
  response: {
    200: { description: 'A page of jobs.', content: { 'application/json': { schema: JobList } } },
    ...problemResponses('invalid_request', 'queue_unavailable'),
  },
};

const route: FastifyPluginAsyncZod = async (app) => {
  app.get('/jobs', { schema }, async (request, reply) => {
    const { cursor, ...query } = request.query;
    const { jobs, nextCursor } = await app.listOwnJobs(request, query, cursor ?? null);
    return reply.type('application/json').send({ jobs: jobs.map(summarize), nextCursor });
  });
};

export const listJobsRoute = fp(route, { name: 'list-jobs', dependencies: ['own-jobs', 'openapi'] });
