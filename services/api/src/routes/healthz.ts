import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { NoQuery } from '../http/common.js';
import { openProblemResponses } from '../http/problem-responses.js';

const schema = {
  operationId: 'getHealth',
  tags: ['operation'],
  summary: 'Is the process up?',
  description: 'Answers without asking anything else. For a liveness probe.',
  querystring: NoQuery,
  response: {
    200: {
      description: 'The process is up.',
      content: { 'application/json': { schema: z.object({ status: z.literal('up') }) } },
    },
    ...openProblemResponses('invalid_request'),
  },
};

const route: FastifyPluginAsyncZod = async (app) => {
  app.get(
    '/healthz',
    { schema, config: { role: null, rateLimit: false }, logLevel: 'warn' },
    async (_request, reply) => reply.type('application/json').send({ status: 'up' }),
  );
};

export const healthzRoute = fp(route, { name: 'healthz', dependencies: ['openapi'] });
