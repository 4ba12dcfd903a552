import { WebhookEndpoint, WebhookEndpointChange } from '@headstart/contracts';
import type { UrlGuard } from '@headstart/storage';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { NoQuery, WebhookParams } from '../http/common.js';
import { problemResponses } from '../http/problem-responses.js';

const schema = {
  operationId: 'updateWebhook',
  tags: ['webhooks'],
  summary: 'Change a webhook',
  description:
    'What the body leaves out stays as it is. What is queued by then goes to the new URL; nothing goes to a webhook that is not enabled.',
  params: WebhookParams,
  querystring: NoQuery,
  body: WebhookEndpointChange,
  response: {
    200: {
      description: 'The webhook as it is now.',
      content: { 'application/json': { schema: WebhookEndpoint } },
    },
    ...problemResponses(
      'invalid_request',
      'uri_forbidden',
      'webhook_not_found',
      'payload_too_large',
      'unsupported_media_type',
      'queue_unavailable',
    ),
  },
};

const route: FastifyPluginAsyncZod<{ urlGuard: UrlGuard }> = async (app, { urlGuard }) => {
  app.patch('/webhooks/:id', { schema, config: { role: 'admin' } }, async (request, reply) => {
    const { body, params } = request;
    if (body.url !== undefined) urlGuard.check(new URL(body.url));
    return reply.type('application/json').send(await app.ownWebhooks(request).update(params.id, body));
  });
};

export const updateWebhookRoute = fp(route, {
  name: 'update-webhook',
  dependencies: ['own-webhooks', 'openapi'],
});
