import { HeadstartClient } from '@headstart/client';
import type { AppError, Job, JobRequestInput } from '@headstart/contracts';
import { JOBS_QUEUE, newJobId } from '@headstart/queue';
import { Worker } from 'bullmq';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { makeFolders, startApi, type TestApi } from '../support/api.js';
import { makeHolder } from '../support/keys.js';
import { startTcpProxy } from '../support/tcp-proxy.js';

let api: TestApi;
let client: HeadstartClient;
let request: JobRequestInput;

beforeEach(async () => {
  api = await startApi(inject('redisUrl'));
  client = new HeadstartClient(`${await api.app.listen({ host: '127.0.0.1', port: 0 })}/`);
  const datasetUri = await makeFolders(join(api.root, 'flowers'), ['tulip', 'daisy']);
  request = { datasetUri, scenario: 'small-similar' };
});
afterEach(() => api.close());

function startWorker(): Worker {
  return new Worker(JOBS_QUEUE, async () => undefined, {
    connection: api.queue.redis,
    prefix: api.queue.prefix,
  });
}

describe('the client', () => {
  it('asks for a plan, posts, reads and cancels', async () => {
    expect(await client.dryRun(request)).toMatchObject({ model: 'vgg19', classes: ['daisy', 'tulip'] });
    const job = await client.createJob(request);
    expect(await client.getJob(job.id)).toEqual(job);
    expect(await client.cancelJob(job.id)).toMatchObject({ id: job.id, status: 'canceled' });
  });

  it('shows who it is by its key, and to nobody else', async () => {
    const { key } = await makeHolder(api, { tenant: 'birds' });
    const keyed = new HeadstartClient(client.baseUrl, { apiKey: key });
    const { id } = await keyed.createJob(request);
    expect(await keyed.getJob(id)).toMatchObject({ id });
    await expect(client.getJob(id)).rejects.toMatchObject({ code: 'unauthorized', retryable: false });
    expect(inspect(keyed, { showHidden: true, depth: 5 })).not.toContain(key);
  });

  it('lists jobs, page by page and by filters, and removes them', async () => {
    const ids: string[] = [];
    for (const team of ['birds', 'cells', 'birds'])
      ids.push((await client.createJob({ ...request, metadata: { team } })).id);
    const { jobs, nextCursor } = await client.listJobs({ limit: 2 });
    const { jobs: older } = await client.listJobs({ limit: 2, cursor: nextCursor ?? '' });
    expect([...jobs, ...older].map(({ id }) => id).toSorted()).toEqual(ids.toSorted());

    const filter = { metadata: { team: 'birds' }, status: ['queued'], scenario: ['small-similar'] } as const;
    const birds: string[] = [];
    for await (const { id } of client.eachJob(filter)) birds.push(id);
    expect(birds.toSorted()).toEqual([ids[0], ids[2]].toSorted());

    await expect(client.deleteJob(birds[0] ?? '')).rejects.toMatchObject({ code: 'job_not_ended' });
    await client.cancelJob(birds[0] ?? '');
    await client.deleteJob(birds[0] ?? '', { files: true });
    await expect(client.getJob(birds[0] ?? '')).rejects.toMatchObject({ code: 'job_not_found' });
  });

  it('posts once for each key, and a canceled job again', async () => {
    const options = { idempotencyKey: 'key-1' };
    const [first, second] = await Promise.all([
      client.createJob(request, options),
      client.createJob(request, options),
    ]);
    expect(second.id).toBe(first.id);
    await expect(client.finishJob(first.id)).rejects.toMatchObject({ code: 'job_not_running' });
    await client.cancelJob(first.id);
    const again = await client.retryJob(first.id, { idempotencyKey: 'key-2' });
    expect(again).toMatchObject({ status: 'queued', retryOf: first.id });
    expect(await client.retryJob(first.id, { idempotencyKey: 'key-2' })).toEqual(again);
  });

  it('makes, changes and removes webhooks', async () => {
    const { secret, ...webhook } = await client.createWebhook({ url: 'https://example.com/hook' });
    expect(secret).toMatch(/^whsec_/);
    expect(await client.listWebhooks()).toEqual([webhook]);
    const changed = await client.updateWebhook(webhook.id, { events: ['job.failed'] });
    expect(changed).toMatchObject({ url: webhook.url, events: ['job.failed'] });
    expect(await client.getWebhook(webhook.id)).toEqual(changed);
    expect((await client.rotateWebhookSecret(webhook.id)).secret).not.toBe(secret);
    expect(await client.listWebhookDeliveries(webhook.id, { limit: 1, cursor: '1-1' })).toEqual({
      deliveries: [],
      nextCursor: null,
    });
    await client.deleteWebhook(webhook.id);
    await expect(client.getWebhook(webhook.id)).rejects.toMatchObject({ code: 'webhook_not_found' });
  });

  it('lists what was sent for a job, and has it sent again', async () => {
    const { id } = await client.createJob({ ...request, webhook: { url: 'https://example.com/hook' } });
    const webhook = await client.createWebhook({ url: 'https://example.com/hook' });
    await client.cancelJob(id);
    expect(await client.listJobDeliveries(id)).toEqual({ deliveries: [], nextCursor: null });
    await client.replayJobDelivery(id, `${id}_job_canceled`);
    await client.replayWebhookDelivery(webhook.id, `${id}_job_canceled_${webhook.id}`);
    const queued = await api.queue.webhooks.getJobs();
    expect(queued.filter(({ data }) => data.replayOf !== undefined)).toHaveLength(2);
    await expect(client.replayJobDelivery(id, `${id}_job_failed`)).rejects.toMatchObject({
      code: 'delivery_not_found',
    });
  });

  it('throws the error that the service answered with', async () => {
    const wrong = { ...request, freezeLayers: 'block9_pool' };
    const error = (await client.createJob(wrong).catch((thrown: unknown) => thrown)) as AppError;
    expect(error).toMatchObject({ name: 'AppError', code: 'unknown_layer', status: 400 });
    expect(error.errors?.[0]).toMatchObject({ field: 'freezeLayers', received: 'block9_pool' });
    await expect(client.getJob('../healthz')).rejects.toMatchObject({ code: 'job_not_found' });
  });

  it('says so where nothing answers', async () => {
    const nowhere = new HeadstartClient('http://127.0.0.1:1');
    await expect(nowhere.getJob(newJobId())).rejects.toMatchObject({
      code: 'internal_error',
      retryable: true,
    });
  });

  it('waits until the job has ended, over an outage too', async () => {
    const { port } = new URL(client.baseUrl);
    const proxy = await startTcpProxy({ host: '127.0.0.1', port: Number(port) });
    const { id } = await client.createJob(request);
    const seen: Job['status'][] = [];
    const distant = new HeadstartClient(`http://127.0.0.1:${proxy.port}`);
    let worker: Worker | undefined;
    const job = await distant.waitForJob(id, {
      intervalMs: 20,
      onUpdate: ({ status }) => {
        seen.push(status);
        if (seen.length === 1) void proxy.cut().then(() => proxy.restore());
        if (seen.length === 2) worker = startWorker();
      },
    });
    expect(job.status).toBe('succeeded');
    expect(seen[0]).toBe('queued');
    await worker?.close();
    await proxy.cut();
  });

  it('stops waiting when it is told to, and at once for a job that is not there', async () => {
    const { id } = await client.createJob(request);
    const stop = new AbortController();
    const waiting = client.waitForJob(id, {
      signal: stop.signal,
      onUpdate: () => stop.abort(new Error('enough')),
    });
    await expect(waiting).rejects.toThrow();
    expect(await client.getJob(id)).toMatchObject({ status: 'queued' });
    await expect(client.waitForJob(newJobId())).rejects.toMatchObject({ code: 'job_not_found' });
  });
});
