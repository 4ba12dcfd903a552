import { DeliveryQuery, WebhookDeliveryList } from '@headstart/contracts';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { WebhookParams } from '../http/common.js';
import { problemResponses } from '../http/problem-responses.js';

const schema = {
  operationId: 'listWebhookDeliveries',
  tags: ['webhooks'],
  summary: "List a webhook's deliveries",
  description: 'Every try to send something there, newest first: the latest 5,000 of the last 30 days.',
  params: WebhookParams,
  querystring: DeliveryQuery,
  response: {
    200: {
      description: 'A page of deliveries.',
      content: { 'application/json': { schema: WebhookDeliveryList } },
    },
    ...problemResponses('invalid_request', 'webhook_not_found', 'queue_unavailable'),
  },
};

const route: FastifyPluginAsyncZod = async (app) => {
  app.get('/webhooks/:id/deliveries', { schema, config: { role: 'admin' } }, async (request, reply) => {
    const { params, query } = request;
    return reply.type('application/json').send(await app.ownWebhooks(request).deliveries(params.id, query));
  });
};

export const listWebhookDeliveriesRoute = fp(route, {
  name: 'list-webhook-deliveries',
  dependencies: ['own-webhooks', 'openapi'],
});
