import { DeliveryQuery, WebhookDeliveryList } from '@headstart/contracts';
import { listDeliveries } from '@headstart/queue';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { JobParams } from '../http/common.js';
import { problemResponses } from '../http/problem-responses.js';

const schema = {
  operationId: 'listJobDeliveries',
  tags: ['webhooks'],
  summary: "List the deliveries of a job's own webhook",
  description: "Every try to send something to the job's `webhook.url`, newest first.",
  params: JobParams,
  querystring: DeliveryQuery,
  response: {
    200: {
      description: 'A page of deliveries.',
      content: { 'application/json': { schema: WebhookDeliveryList } },
    },
    ...problemResponses('invalid_request', 'job_not_found', 'job_unreadable', 'queue_unavailable'),
  },
};

const route: FastifyPluginAsyncZod = async (app) => {
  app.get('/jobs/:id/deliveries', { schema }, async (request, reply) => {
    const { params, query } = request;
    const { job } = await app.findOwnJob(request, params.id);
    const page = await app.askQueue((parts) => listDeliveries(parts, job.id, query));
    return reply.type('application/json').send(page);
  });
};

export const listJobDeliveriesRoute = fp(route, {
  name: 'list-job-deliveries',
  dependencies: ['own-jobs', 'openapi'],
});
