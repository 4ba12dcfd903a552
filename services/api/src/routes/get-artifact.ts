import {
  AppError,
  contentTypeOf,
  type ObjectInfo,
  type ObjectStore,
  type ObjectStores,
} from '@headstart/contracts';
import type { FastifyReply } from 'fastify';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { z } from 'zod';
import { storesForFiles } from '../callers/uris.js';
import type { ApiConfig } from '../config.js';
import { JobParams, NoQuery } from '../http/common.js';
import { problemResponses } from '../http/problem-responses.js';
import { parseRange } from '../http/range.js';
import { LINK_SECONDS } from '../jobs/artifacts.js';
import { askStore } from '../jobs/ask-store.js';

/** Bytes, of which a JSON schema says nothing. */
const File = { schema: z.unknown() };
const MEDIA_TYPES = [
  'application/octet-stream',
  'application/json',
  'application/jsonl',
  'text/csv',
  'image/svg+xml',
];
const content = Object.fromEntries(MEDIA_TYPES.map((type) => [type, File]));

const schema = {
  operationId: 'getArtifact',
  tags: ['jobs'],
  summary: "Read one of a job's files",
  description:
    'Sends a file that lies on a disk, with one byte range if the header asks for it; leads to a link that is valid for 15 minutes where it lies in an S3 store.',
  params: JobParams.extend({
    '*': z.string().meta({ description: "Path below the job's folder.", examples: ['model/model.json'] }),
  }),
  querystring: NoQuery,
  headers: z.object({
    range: z.string().optional().meta({ description: 'For example `bytes=0-1023`.' }),
  }),
  response: {
    200: { description: 'The file.', content },
    206: { description: 'The range of it.', content },
    307: z.null().meta({ description: 'It is at `location`.' }),
    ...problemResponses(
      'invalid_request',
      'uri_forbidden',
      'storage_forbidden',
      'job_not_found',
      'storage_not_found',
      'range_not_satisfiable',
      'job_unreadable',
      'queue_unavailable',
      'storage_unavailable',
    ),
  },
};

const route: FastifyPluginAsyncZod<{ config: ApiConfig; stores: ObjectStores }> = async (app, options) => {
  app.get('/jobs/:id/artifacts/*', { schema }, async (request, reply) => {
    const { id, '*': path } = request.params;
    const { record } = await app.findOwnJob(request, id);
    const store = storesForFiles(options, record.data, request.caller).open(record.data.outputUri);
    // Asked first, so that a client never follows a link to an S3 error.
    const info = await askStore(store.uri, store.stat(path));
    if (info === null)
      throw new AppError(
        'storage_not_found',
        `The job has no file ${JSON.stringify(path)}. GET its artifacts for a list.`,
      );
    const link = await store.presignGet(path, LINK_SECONDS);
    if (link !== null) return reply.redirect(link, 307);
    reply.header('accept-ranges', 'bytes');
    // Of HEAD, a range says nothing (RFC 9110, section 14.2), and the file stays closed.
    if (request.method === 'HEAD') return sendBytes(reply, path, Readable.from([]), info.sizeBytes);
    // No answer has a validator that If-Range could name, and one that is not the file's has the whole of it sent (section 13.1.5).
    const isConditional = request.raw.headers['if-range'] !== undefined;
    return sendFile(reply, store, info, isConditional ? undefined : request.headers.range);
  });
};

async function sendFile(
  reply: FastifyReply,
  store: ObjectStore,
  { key: path, sizeBytes }: ObjectInfo,
  rangeHeader: string | undefined,
): Promise<FastifyReply> {
  const range = parseRange(rangeHeader, sizeBytes);
  if (range === 'unsatisfiable') {
    reply.header('content-range', `bytes */${sizeBytes}`);
    throw new AppError(
      'range_not_satisfiable',
      `The file has ${sizeBytes} bytes; received "${rangeHeader}".`,
    );
  }
  const stream = await store.read(path, range ? { range } : {});
  if (range) reply.code(206).header('content-range', `bytes ${range.start}-${range.end}/${sizeBytes}`);
  // The size of what was opened: the file may have been replaced since it was looked at.
  return sendBytes(reply, path, stream, stream.sizeBytes);
}

function sendBytes(
  reply: FastifyReply,
  path: string,
  bytes: Readable,
  sizeBytes: number | null,
): FastifyReply {
  reply
    .type(contentTypeOf(path))
    // Saved, never shown: a file that a browser renders would run its scripts as this origin's.
    .header('content-disposition', `attachment; filename*=UTF-8''${encodeURIComponent(posix.basename(path))}`)
    .header('x-content-type-options', 'nosniff');
  if (sizeBytes !== null) reply.header('content-length', sizeBytes);
  return reply.send(bytes);
}

export const getArtifactRoute = fp(route, { name: 'get-artifact', dependencies: ['own-jobs', 'openapi'] });
