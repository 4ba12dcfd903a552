import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { NoQuery, WebhookParams } from '../http/common.js';
import { problemResponses } from '../http/problem-responses.js';

const schema = {
  operationId: 'deleteWebhook',
  tags: ['webhooks'],
  summary: 'Remove a webhook',
  description: 'Nothing is sent to it any more, what is queued included.',
  params: WebhookParams,
  querystring: NoQuery,
  response: {
    204: z.null().meta({ description: 'The webhook is gone.' }),
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
  app.delete('/webhooks/:id', { schema, config: { role: 'admin' } }, async (request, reply) => {
    await app.ownWebhooks(request).remove(request.params.id);
    return reply.code(204).send(null);
  });
};

export const deleteWebhookRoute = fp(route, {
  name: 'delete-webhook',
  dependencies: ['own-webhooks', 'openapi'],
});
