import { WebhookReplay } from '@headstart/contracts';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { DeliveryParams, NoQuery, WebhookParams } from '../http/common.js';
import { problemResponses } from '../http/problem-responses.js';

const schema = {
  operationId: 'replayWebhookDelivery',
  tags: ['webhooks'],
  summary: 'Send an event to a webhook again',
  description:
    'Once, with the same `webhook-id` and body, and a timestamp and signature of now; the list of deliveries has the try. Events are kept for 30 days. Tries that are planned stay planned.',
  params: WebhookParams.extend(DeliveryParams.shape),
  querystring: NoQuery,
  response: {
    202: { description: 'Queued.', content: { 'application/json': { schema: WebhookReplay } } },
    ...problemResponses(
      'invalid_request',
      'webhook_not_found',
      'delivery_not_found',
      'webhook_disabled',
      'payload_too_large',
      'unsupported_media_type',
      'queue_unavailable',
    ),
  },
};

const route: FastifyPluginAsyncZod = async (app) => {
  app.post(
    '/webhooks/:id/deliveries/:webhookId/replay',
    { schema, config: { role: 'admin' } },
    async (request, reply) => {
      const { id, webhookId } = request.params;
      await app.ownWebhooks(request).replay(id, webhookId);
      return reply.code(202).type('application/json').send({ webhookId });
    },
  );
};

export const replayWebhookDeliveryRoute = fp(route, {
  name: 'replay-webhook-delivery',
  dependencies: ['own-webhooks', 'openapi'],
});
