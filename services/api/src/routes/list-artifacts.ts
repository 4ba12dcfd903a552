import {
  AppError,
  ArtifactList,
  contentTypeOf,
  type ObjectInfo,
  type ObjectStores,
} from '@headstart/contracts';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { storesForFiles } from '../callers/uris.js';
import type { ApiConfig } from '../config.js';
import { JobParams, NoQuery } from '../http/common.js';
import { artifactPath, LINK_SECONDS } from '../jobs/artifacts.js';
import { askStore } from '../jobs/ask-store.js';
import { problemResponses } from '../http/problem-responses.js';

const schema = {
  operationId: 'listArtifacts',
  tags: ['jobs'],
  summary: "List a job's files",
  description:
    "Every file in the job's folder by now, with a URL to GET it, ranges included: for files in an S3 store one that needs no credentials and is valid for 15 minutes, for files on a disk a path of this API.",
  params: JobParams,
  querystring: NoQuery,
  response: {
    200: { description: 'The files, by path.', content: { 'application/json': { schema: ArtifactList } } },
    ...problemResponses(
      'invalid_request',
      'uri_forbidden',
      'storage_forbidden',
      'job_not_found',
      'storage_not_found',
      'job_unreadable',
      'queue_unavailable',
      'storage_unavailable',
    ),
  },
};

const route: FastifyPluginAsyncZod<{ config: ApiConfig; stores: ObjectStores }> = async (app, options) => {
  app.get('/jobs/:id/artifacts', { schema }, async (request, reply) => {
    const { job, record } = await app.findOwnJob(request, request.params.id);
    const store = storesForFiles(options, record.data, request.caller).open(record.data.outputUri);
    const expiresAt = new Date(Date.now() + LINK_SECONDS * 1000).toISOString();
    const artifacts: ArtifactList['artifacts'] = [];
    for (const { key, sizeBytes } of await askStore(store.uri, listFiles(store.list()))) {
      const link = await store.presignGet(key, LINK_SECONDS);
      artifacts.push({
        path: key,
        sizeBytes,
        contentType: contentTypeOf(key),
        url: link ?? artifactPath(job.id, key),
        expiresAt: link === null ? null : expiresAt,
      });
    }
    return reply.type('application/json').send({ artifacts });
  });
};

async function listFiles(list: AsyncIterable<ObjectInfo>): Promise<ObjectInfo[]> {
  const files: ObjectInfo[] = [];
  try {
    for await (const file of list) files.push(file);
  } catch (error) {
    // A folder on a disk, unlike a bucket's, is not there before the first file is.
    if (!(error instanceof AppError) || error.code !== 'storage_not_found') throw error;
  }
  return files;
}

export const listArtifactsRoute = fp(route, {
  name: 'list-artifacts',
  dependencies: ['own-jobs', 'openapi'],
});
