import type { JobLogLine } from '@headstart/contracts';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { Readable } from 'node:stream';
import { z } from 'zod';
import { JobParams } from '../http/common.js';
import { problemResponses } from '../http/problem-responses.js';
import type { JobsPort } from '../plugins/queue.js';

const PAGE = 500;

const schema = {
  operationId: 'getJobLogs',
  tags: ['jobs'],
  summary: "Read a job's log",
  description: "The job's log lines so far, the oldest first.",
  params: JobParams,
  querystring: z.strictObject({
    format: z
      .enum(['jsonl', 'text'])
      .default('jsonl')
      .meta({ description: 'JSON, one object a line; or lines to read.' }),
  }),
  response: {
    200: {
      description: 'The lines; each of application/jsonl is a JobLogLine.',
      content: {
        'application/jsonl': {
          schema: z.string().meta({ contentSchema: { $ref: '#/components/schemas/JobLogLine' } }),
        },
        'text/plain': { schema: z.string() },
      },
    },
    ...problemResponses('invalid_request', 'job_not_found', 'job_unreadable', 'queue_unavailable'),
  },
};

const route: FastifyPluginAsyncZod = async (app) => {
  app.get('/jobs/:id/logs', { schema }, async (request, reply) => {
    const { job } = await app.findOwnJob(request, request.params.id);
    const asText = request.query.format === 'text';
    const lines = readLines(app.jobs, job.id, asText ? toText : toJson);
    return reply
      .type(asText ? 'text/plain; charset=utf-8' : 'application/jsonl')
      .send(Readable.from(lines, { objectMode: false }) as unknown as string);
  });
};

async function* readLines(
  jobs: JobsPort,
  id: string,
  print: (line: JobLogLine) => string,
): AsyncGenerator<string> {
  let last = '0-0';
  for (;;) {
    const events = await jobs.readEvents(id, last, PAGE);
    for (const { id: entry, event } of events) {
      last = entry;
      if (event?.type !== 'log') continue;
      const { level, message, fields } = event;
      yield print({ at: new Date(Number(entry.split('-')[0])).toISOString(), level, message, fields });
    }
    if (events.length < PAGE) return;
  }
}

function toJson(line: JobLogLine): string {
  return `${JSON.stringify(line)}\n`;
}

function toText({ at, level, message, fields }: JobLogLine): string {
  const values = Object.entries(fields).map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
  return `${at} ${level} ${message}${values.join('')}\n`;
}

export const getLogsRoute = fp(route, { name: 'get-logs', dependencies: ['own-jobs', 'openapi'] });
