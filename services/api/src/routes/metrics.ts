import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { NoQuery } from '../http/common.js';
import { openProblemResponses } from '../http/problem-responses.js';

const schema = {
  operationId: 'getMetrics',
  tags: ['operation'],
  summary: 'Measure it',
  description:
    "Requests, depth and age of the queue, and the process itself, in Prometheus' text format. Answers while Redis is away too, with `headstart_queue_up 0`. The workers' own metrics are at `METRICS_PORT` of each.",
  querystring: NoQuery,
  response: {
    200: {
      description: 'All metrics of this API.',
      content: { 'text/plain': { schema: z.string() } },
    },
    ...openProblemResponses('invalid_request'),
  },
};

const route: FastifyPluginAsyncZod = async (app) => {
  app.get(
    '/metrics',
    { schema, config: { role: null, rateLimit: false }, logLevel: 'warn' },
    async (_request, reply) => {
      const depths = await app.jobs.depths().catch(() => null);
      return reply.type(app.metrics.contentType).send(await app.metrics.render(depths));
    },
  );
};

export const metricsRoute = fp(route, {
  name: 'metrics-route',
  dependencies: ['metrics', 'queue', 'openapi'],
});
