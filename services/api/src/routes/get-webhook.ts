import { WebhookEndpoint } from '@headstart/contracts';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { NoQuery, WebhookParams } from '../http/common.js';
import { problemResponses } from '../http/problem-responses.js';

const schema = {
  operationId: 'getWebhook',
  tags: ['webhooks'],
  summary: 'Read a webhook',
  params: WebhookParams,
  querystring: NoQuery,
  response: {
    200: { description: 'The webhook.', content: { 'application/json': { schema: WebhookEndpoint } } },
    ...problemResponses('invalid_request', 'webhook_not_found', 'queue_unavailable'),
  },
};

const route: FastifyPluginAsyncZod = async (app) => {
  app.get('/webhooks/:id', { schema, config: { role: 'admin' } }, async (request, reply) =>
    reply.type('application/json').send(await app.ownWebhooks(request).get(request.params.id)),
  );
};

export const getWebhookRoute = fp(route, { name: 'get-webhook', dependencies: ['own-webhooks', 'openapi'] });
