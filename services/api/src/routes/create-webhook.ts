import { WebhookEndpointRequest, WebhookEndpointWithSecret } from '@headstart/contracts';
import type { UrlGuard } from '@headstart/storage';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { NoQuery } from '../http/common.js';
import { problemResponses } from '../http/problem-responses.js';

const schema = {
  operationId: 'createWebhook',
  tags: ['webhooks'],
  summary: 'Add a webhook',
  description:
    "The events of all of the tenant's jobs that end from now on are posted to it, signed with a secret of its own, which only this answer shows. A tenant may have 16.",
  querystring: NoQuery,
  body: WebhookEndpointRequest,
  response: {
    201: {
      description: 'The webhook, with its secret.',
      content: { 'application/json': { schema: WebhookEndpointWithSecret } },
    },
    ...problemResponses(
      'invalid_request',
      'uri_forbidden',
      'webhook_limit',
      'payload_too_large',
      'unsupported_media_type',
      'queue_unavailable',
    ),
  },
};

const route: FastifyPluginAsyncZod<{ urlGuard: UrlGuard }> = async (app, { urlGuard }) => {
  app.post('/webhooks', { schema, config: { role: 'admin' } }, async (request, reply) => {
    urlGuard.check(new URL(request.body.url));
    const webhook = await app.ownWebhooks(request).create(request.body);
    return reply
      .code(201)
      .header('location', `/webhooks/${webhook.id}`)
      .type('application/json')
      .send(webhook);
  });
};

export const createWebhookRoute = fp(route, {
  name: 'create-webhook',
  dependencies: ['own-webhooks', 'openapi'],
});
