import { WebhookEndpointList } from '@headstart/contracts';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { NoQuery } from '../http/common.js';
import { problemResponses } from '../http/problem-responses.js';

const schema = {
  operationId: 'listWebhooks',
  tags: ['webhooks'],
  summary: 'List webhooks',
  description: "All of the tenant's, without their secrets.",
  querystring: NoQuery,
  response: {
    200: {
      description: 'The webhooks.',
      content: { 'application/json': { schema: WebhookEndpointList } },
    },
    ...problemResponses('invalid_request', 'queue_unavailable'),
  },
};

const route: FastifyPluginAsyncZod = async (app) => {
  app.get('/webhooks', { schema, config: { role: 'admin' } }, async (request, reply) => {
    const webhooks = await app.ownWebhooks(request).list();
    return reply.type('application/json').send({ webhooks });
  });
};

export const listWebhooksRoute = fp(route, {
  name: 'list-webhooks',
  dependencies: ['own-webhooks', 'openapi'],
});
