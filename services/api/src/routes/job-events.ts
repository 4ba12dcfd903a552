import { ENDED_STATUSES } from '@headstart/contracts';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { END } from '../events/follow.js';
import { JobParams, NoQuery } from '../http/common.js';
import { problemResponses } from '../http/problem-responses.js';

const schema = {
  operationId: 'followJob',
  tags: ['jobs'],
  summary: 'Listen to a job',
  description:
    "Server-sent events from the job's beginning to its end: `status`, `phase`, `epoch` and `log`, each with an id, and `progress`, which replaces itself and has none. With `Last-Event-ID` they go on behind that event, as browsers do by themselves. The last one is a `status` with the id `end`; then the answer ends, and asking again behind it is answered with 204, which tells a browser to stop. A comment comes at least every 5 s.",
  params: JobParams,
  querystring: NoQuery,
  headers: z.object({
    'last-event-id': z
      .string()
      .regex(/^(\d{1,16}-\d{1,16}|end)$/, 'must be the id of an event of this job')
      .optional()
      .meta({ description: 'Id of the last event that was received.' }),
  }),
  response: {
    200: {
      description: 'The events; the schema is of each.',
      content: {
        'text/event-stream': {
          schema: z.object({
            id: z.string().optional().meta({ description: 'For `Last-Event-ID`; `progress` has none.' }),
            event: z.enum(['status', 'phase', 'epoch', 'log', 'progress']),
            data: z.string().meta({
              contentMediaType: 'application/json',
              contentSchema: { $ref: '#/components/schemas/JobEvent' },
            }),
          }),
        },
      },
    },
    204: z.null().meta({ description: 'The job has ended, and the client has had its last event.' }),
    ...problemResponses('invalid_request', 'job_not_found', 'job_unreadable', 'queue_unavailable'),
  },
};

const route: FastifyPluginAsyncZod = async (app) => {
  app.get('/jobs/:id/events', { schema, exposeHeadRoute: false }, async (request, reply) => {
    const { job } = await app.findOwnJob(request, request.params.id);
    const lastId = request.headers['last-event-id'] ?? '0-0';
    if (lastId === END && ENDED_STATUSES.includes(job.status)) return reply.code(204).send(null);
    const after = lastId === END ? '0-0' : lastId;
    const gone = new AbortController();
    reply.raw.once('close', () => gone.abort());
    return (
      reply
        .type('text/event-stream')
        .header('cache-control', 'no-store')
        .header('x-accel-buffering', 'no')
        // A service that closes ends the answer, and must not then wait for the client to close what carried it.
        .header('connection', 'close')
        .send(app.followJob(job.id, after, [request.caller.dismissed, gone.signal]) as never)
    );
  });
};

export const jobEventsRoute = fp(route, {
  name: 'job-events',
  dependencies: ['own-jobs', 'job-feeds', 'openapi'],
});
