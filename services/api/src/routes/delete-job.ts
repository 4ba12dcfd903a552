import type { ObjectStores } from '@headstart/contracts';
import { refuseUnended } from '@headstart/queue';
import fp from 'fastify-plugin';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { storesForFiles } from '../callers/uris.js';
import type { ApiConfig } from '../config.js';
import { JobParams } from '../http/common.js';
import { problemResponses } from '../http/problem-responses.js';
import { askStore } from '../jobs/ask-store.js';

const schema = {
  operationId: 'deleteJob',
  tags: ['jobs'],
  summary: 'Remove a job that has ended',
  description:
    "Removes the job's record. Its files stay, unless `files=true` asks for them to be removed too, checkpoints included; they go first, so a request that failed can be sent again.",
  params: JobParams,
  querystring: z.strictObject({
    files: z
      .enum(['true', 'false'])
      .default('false')
      .meta({ description: "Remove everything in the job's own folder too." }),
  }),
  response: {
    204: z.null().meta({ description: 'The job is gone.' }),
    ...problemResponses(
      'invalid_request',
      'uri_forbidden',
      'storage_forbidden',
      'job_not_found',
      'storage_not_found',
      'job_not_ended',
      'payload_too_large',
      'unsupported_media_type',
      'job_unreadable',
      'queue_unavailable',
      'storage_unavailable',
    ),
  },
};

const route: FastifyPluginAsyncZod<{ config: ApiConfig; stores: ObjectStores }> = async (app, options) => {
  app.delete('/jobs/:id', { schema, config: { role: 'admin' } }, async (request, reply) => {
    const { record, job } = await app.findOwnJob(request, request.params.id);
    refuseUnended(job);
    if (request.query.files === 'true')
      await removeFiles(storesForFiles(options, record.data, request.caller), record.data.outputUri);
    await app.jobs.remove(record);
    return reply.code(204).send(null);
  });
};

/** Through the folder above, so that the job's folder itself goes too. */
async function removeFiles(stores: ObjectStores, outputUri: string): Promise<void> {
  const { store, key } = stores.locate(outputUri.slice(0, -1));
  await askStore(outputUri, store.deleteAll(`${key}/`));
}

export const deleteJobRoute = fp(route, { name: 'delete-job', dependencies: ['own-jobs', 'openapi'] });
