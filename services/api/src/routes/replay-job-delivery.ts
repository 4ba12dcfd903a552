import { WebhookReplay } from '@headstart/contracts';
import { replayWebhook } from '@headstart/queue';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { DeliveryParams, JobParams, NoQuery } from '../http/common.js';
import { problemResponses } from '../http/problem-responses.js';

const schema = {
  operationId: 'replayJobDelivery',
  tags: ['webhooks'],
  summary: "Send an event to a job's own webhook again",
  description: 'As for the webhooks of the tenant.',
  params: JobParams.extend(DeliveryParams.shape),
  querystring: NoQuery,
  response: {
    202: { description: 'Queued.', content: { 'application/json': { schema: WebhookReplay } } },
    ...problemResponses(
      'invalid_request',
      'job_not_found',
      'delivery_not_found',
      'payload_too_large',
      'unsupported_media_type',
      'job_unreadable',
      'queue_unavailable',
    ),
  },
};

const route: FastifyPluginAsyncZod = async (app) => {
  app.post('/jobs/:id/deliveries/:webhookId/replay', { schema }, async (request, reply) => {
    const { job } = await app.findOwnJob(request, request.params.id);
    const { webhookId } = request.params;
    await app.askQueue(({ webhooks }) => replayWebhook(webhooks, job.id, webhookId));
    return reply.code(202).type('application/json').send({ webhookId });
  });
};

export const replayJobDeliveryRoute = fp(route, {
  name: 'replay-job-delivery',
  dependencies: ['own-jobs', 'openapi'],
});
