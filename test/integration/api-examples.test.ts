import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { appendEvent, createEndpoint, findJob, JOBS_QUEUE, recordDelivery } from '@headstart/queue';
import { Worker } from 'bullmq';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { makeFolders, startApi, type TestApi } from '../support/api.js';
import { type ExampleCase, problemsOf, readExamples } from '../support/examples.js';

const HOOK = 'https://example.com/hooks/headstart';

let api: TestApi;
let datasetUri: string;
beforeEach(async () => {
  api = await startApi(inject('redisUrl'));
  datasetUri = await makeFolders(join(api.root, 'flowers'), ['tulip', 'daisy']);
});
afterEach(() => api.close());

const EXAMPLES = readExamples();

describe('openapi.yaml', () => {
  it.each(EXAMPLES)('describes the answer to $name', async (example) => {
    const response = await api.app.inject({ ...example.request, url: await urlOf(example) });
    const { statusCode, headers, body } = response;
    expect([200, 201, 202, 204, 206], body).toContain(statusCode);
    const documented = example.responses[statusCode];
    expect(documented, `${example.operationId} -> ${statusCode}`).toBeDefined();
    if (!documented?.content) {
      expect(body).toBe('');
      return;
    }
    const mediaType = String(headers['content-type']).split(';')[0] ?? '';
    const media = documented.content[mediaType];
    expect(media, mediaType).toBeDefined();
    expect(body).not.toBe('');
    // A file is bytes, of which nothing more can be said.
    if (example.operationId === 'getArtifact') expect(media).toEqual({});
    else {
      expect(media?.schema, mediaType).toBeDefined();
      expect(problemsOf(mediaType, media?.schema ?? {}, body)).toEqual([]);
    }
  });

  it('has an answer refused that is not what it says', () => {
    const { responses } = EXAMPLES.find(({ operationId }) => operationId === 'getJob')!;
    const schema = responses['200']?.content?.['application/json']?.schema ?? {};
    expect(problemsOf('application/json', schema, '{"id": 1}')).not.toEqual([]);
  });
});

/** The path of what the example is about, which is made first. */
async function urlOf({ operationId, path }: ExampleCase): Promise<string> {
  if (path.startsWith('/webhooks/{id}')) return fill(path, await makeWebhook());
  if (!path.startsWith('/jobs/{id}')) return path;
  if (operationId === 'cancelJob') return fill(path, { id: await postJob() });
  if (operationId === 'finishJob') return fill(path, { id: await runJob() });
  return fill(path, await endJob());
}

function fill(path: string, values: Record<string, string>): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? '');
}

async function postJob(): Promise<string> {
  const { body } = await api.post({ datasetUri, scenario: 'small-similar', webhook: { url: HOOK } });
  return String(body['id']);
}

/** A job that a worker has, until the queue is closed. */
async function runJob(): Promise<string> {
  const id = await postJob();
  const { redis: connection, prefix } = api.queue;
  const worker = new Worker(JOBS_QUEUE, () => new Promise<void>(() => undefined), { connection, prefix });
  await once(worker, 'active');
  await worker.close(true);
  return id;
}

/** A canceled job with a log, events, a file, and a try to deliver its webhook. */
async function endJob(): Promise<{ id: string; webhookId: string; path: string }> {
  const id = await postJob();
  await appendEvent(api.queue, id, { type: 'phase', phase: 'dataset' });
  await appendEvent(api.queue, id, { type: 'log', level: 'info', message: 'opened', fields: { files: 2 } });
  await api.ask({ method: 'POST', url: `/jobs/${id}/cancel` });
  const record = await findJob(api.queue.jobs, id);
  const folder = fileURLToPath(record?.data.outputUri ?? '');
  await mkdir(join(folder, 'model'), { recursive: true });
  await writeFile(join(folder, 'model', 'model.json'), JSON.stringify({ format: 'layers-model' }));
  return { id, webhookId: await logDelivery(id, id, null), path: 'model/model.json' };
}

async function makeWebhook(): Promise<{ id: string; webhookId: string }> {
  const events = ['job.canceled' as const];
  const { id } = await createEndpoint(api.queue, 'default', { url: HOOK, events, enabled: true });
  const jobId = await postJob();
  await api.ask({ method: 'POST', url: `/jobs/${jobId}/cancel` });
  return { id, webhookId: await logDelivery(id, jobId, id) };
}

/** Writes down that the event of a job's end was given up. @returns the event's id. */
async function logDelivery(receiverId: string, jobId: string, endpointId: string | null): Promise<string> {
  const queued = await api.queue.webhooks.getJobs();
  const webhookId = queued
    .map(({ id = '' }) => id)
    .find((id) => id.startsWith(jobId) && id.endsWith(endpointId ?? '_job_canceled'));
  if (webhookId === undefined) throw new Error(`No webhook of job ${jobId} is queued`);
  await recordDelivery(api.queue, receiverId, {
    webhookId,
    event: 'job.canceled',
    jobId,
    url: HOOK,
    at: '2026-01-01T00:00:00.000Z',
    durationMs: 12,
    result: 'given_up',
    status: 500,
    error: 'status',
    nextAttemptAt: null,
    isReplay: false,
  });
  return webhookId;
}
