import { WebhookEndpointWithSecret } from '@headstart/contracts';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { NoQuery, WebhookParams } from '../http/common.js';
import { problemResponses } from '../http/problem-responses.js';

const schema = {
  operationId: 'rotateWebhookSecret',
  tags: ['webhooks'],
  summary: "Replace a webhook's secret",
  description:
    'Makes a new secret, which only this answer shows. For 24 hours what is sent has a signature by the secret before too, so that receivers can take over the new one in between.',
  params: WebhookParams,
  querystring: NoQuery,
  response: {
    200: {
      description: 'The webhook, with its new secret.',
      content: { 'application/json': { schema: WebhookEndpointWithSecret } },
    },
    ...problemResponses(
      'invalid_request',
      'webhook_not_found',
      'payload_too_large',
      'unsupported_media_type',
      'queue_unavailable',
    ),
  },
};

const route: FastifyPluginAsyncZod = async (app) => {
  app.post('/webhooks/:id/rotate-secret', { schema, config: { role: 'admin' } }, async (request, reply) =>
    reply.type('application/json').send(await app.ownWebhooks(request).rotateSecret(request.params.id)),
  );
};

export const rotateWebhookSecretRoute = fp(route, {
  name: 'rotate-webhook-secret',
  dependencies: ['own-webhooks', 'openapi'],
});
