import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { NoQuery } from '../http/common.js';
import { openProblemResponses } from '../http/problem-responses.js';

const schema = {
  operationId: 'getReadiness',
  tags: ['operation'],
  summary: 'Can it take jobs?',
  description: 'Asks Redis. For a readiness probe.',
  querystring: NoQuery,
  response: {
    200: {
      description: 'Redis answers, so jobs can be taken.',
      content: { 'application/json': { schema: z.object({ status: z.literal('ready') }) } },
    },
    ...openProblemResponses('invalid_request', 'queue_unavailable'),
  },
};

const route: FastifyPluginAsyncZod = async (app) => {
  // A probe every few seconds must not fill the log, least of all while Redis is away.
  app.get(
    '/readyz',
    { schema, config: { role: null, rateLimit: false }, logLevel: 'fatal' },
    async (_request, reply) => {
      await app.jobs.check();
      return reply.type('application/json').send({ status: 'ready' });
    },
  );
};

export const readyzRoute = fp(route, { name: 'readyz', dependencies: ['queue', 'openapi'] });
