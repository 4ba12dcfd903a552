import { type ArtifactOptions, HeadstartClient } from '@headstart/client';
import type { AppError, Job, JobRequestInput } from '@headstart/contracts';
import { JOBS_QUEUE, type JobPayload, type JobRecord, newJobId } from '@headstart/queue';
import { Worker } from 'bullmq';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, request as requestHttp } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, inject, it, onTestFinished, vi } from 'vitest';
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

function startWorker(work: (job: JobRecord) => Promise<void> = async () => undefined): Worker {
  return new Worker<JobPayload>(JOBS_QUEUE, work, {
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

  it('lets every call be given up', async () => {
    const { id } = await client.createJob(request);
    const signal = AbortSignal.abort(new Error('enough'));
    const calls = [
      client.createJob(request, { signal }),
      client.dryRun(request, { signal }),
      client.listJobs({}, { signal }),
      client.eachJob({}, { signal }).next(),
      client.getJob(id, { signal }),
      client.cancelJob(id, { signal }),
      client.finishJob(id, { signal }),
      client.retryJob(id, { signal }),
      client.deleteJob(id, { signal }),
      client.waitForJob(id, { signal }),
      client.followJob(id, { signal }).next(),
      client.readLogs(id, { signal }).next(),
      client.listArtifacts(id, { signal }),
      client.downloadArtifact(id, 'labels.json', { signal }),
      client.createWebhook({ url: 'https://example.com/hook' }, { signal }),
      client.listWebhooks({ signal }),
      client.getWebhook(id, { signal }),
      client.updateWebhook(id, {}, { signal }),
      client.rotateWebhookSecret(id, { signal }),
      client.deleteWebhook(id, { signal }),
      client.listWebhookDeliveries(id, {}, { signal }),
      client.listJobDeliveries(id, {}, { signal }),
      client.replayWebhookDelivery(id, 'event', { signal }),
      client.replayJobDelivery(id, 'event', { signal }),
    ];
    for (const call of calls) await expect(call).rejects.toThrow('enough');
    expect((await client.listJobs()).jobs).toMatchObject([{ id, status: 'queued' }]);
  });

  it('downloads files, whole or in part, below a path of a gateway too', async () => {
    const { id } = await client.createJob(request);
    const folder = join(api.root, 'output', id);
    await mkdir(join(folder, 'a b'), { recursive: true });
    await writeFile(join(folder, 'a b', 'ü%.bin'), 'abcdef');
    const read = async (options?: ArtifactOptions) => {
      const { body, ...rest } = await client.downloadArtifact(id, 'a b/ü%.bin', options);
      return { text: await text(body), ...rest };
    };
    const contentType = 'application/octet-stream';
    expect(await read()).toEqual({ text: 'abcdef', sizeBytes: 6, contentType });
    expect(await read({ range: { start: 4 } })).toEqual({ text: 'ef', sizeBytes: 2, contentType });
    expect(await read({ range: { start: 1, end: 2 } })).toEqual({ text: 'bc', sizeBytes: 2, contentType });
    await expect(read({ range: { start: 6 } })).rejects.toMatchObject({ code: 'range_not_satisfiable' });
    await expect(client.downloadArtifact(id, 'none')).rejects.toMatchObject({ code: 'storage_not_found' });

    const { port } = new URL(client.baseUrl);
    const gateway = createServer(({ url = '', method, headers }, response) => {
      const onward = { port, method, headers, path: url.replace(/^\/headstart/, '') };
      requestHttp(onward, (answer) => {
        // As a gateway that compresses or scans what it passes on.
        delete answer.headers['content-length'];
        response.writeHead(answer.statusCode ?? 0, answer.headers);
        answer.pipe(response);
      }).end();
    }).listen(0, '127.0.0.1');
    onTestFinished(() => void gateway.close());
    await once(gateway, 'listening');
    const outside = `http://127.0.0.1:${(gateway.address() as AddressInfo).port}/headstart`;
    const clientOutside = new HeadstartClient(outside);
    const unsized = await clientOutside.downloadArtifact(id, 'a b/ü%.bin');
    expect({ text: await text(unsized.body), sizeBytes: unsized.sizeBytes }).toEqual({
      text: 'abcdef',
      sizeBytes: null,
    });
    const [file] = await clientOutside.listArtifacts(id);
    expect(file).toMatchObject({
      path: 'a b/ü%.bin',
      url: expect.stringContaining(`${outside}/jobs/`) as string,
    });
    expect(await (await fetch(file?.url ?? '')).text()).toBe('abcdef');
  });

  it('does what the README shows', async () => {
    const readme = await readFile(resolve(import.meta.dirname, '../../README.md'), 'utf8');
    const [, imports = '', code = ''] = /```ts\n((?:import .*\n)+)\n([\s\S]*?)```/.exec(readme) ?? [];
    expect(imports).toContain("import { HeadstartClient } from '@headstart/client'");
    const local = code
      .replaceAll('http://localhost:3000', client.baseUrl)
      .replaceAll('s3://bucket/flowers/', request.datasetUri);
    const worker = startWorker(async ({ data }) => {
      const folder = fileURLToPath(data.outputUri);
      await mkdir(join(folder, 'model'), { recursive: true });
      await writeFile(join(folder, 'model', 'model.json'), '{"a":1}');
    });
    const written: [string, string][] = [];
    const write = async (path: string, body: ReadableStream<Uint8Array>) =>
      void written.push([path, await text(body)]);
    const printed: unknown[] = [];
    await (runInNewContext(`(async () => {${local}})()`, {
      HeadstartClient,
      writeFile: write,
      process: { env: {} },
      console: { log: (...values: unknown[]) => printed.push(values) },
    }) as Promise<void>);
    expect(written).toEqual([['model.json', '{"a":1}']]);
    expect(printed.at(-1)).toEqual(['succeeded']);
    await worker.close();
  });

  it('says so where nothing answers', async () => {
    const nowhere = new HeadstartClient('http://127.0.0.1:1');
    await expect(nowhere.getJob(newJobId())).rejects.toMatchObject({
      code: 'internal_error',
      retryable: true,
    });
  });

  it('waits until the job has ended, over an outage too, however long it waits between two looks', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    onTestFinished(() => void vi.useRealTimers());
    const { port } = new URL(client.baseUrl);
    const proxy = await startTcpProxy({ host: '127.0.0.1', port: Number(port) });
    const { id } = await client.createJob(request);
    const seen: Job['status'][] = [];
    const distant = new HeadstartClient(`http://127.0.0.1:${proxy.port}`);
    let worker: Worker | undefined;
    let cut: Promise<void> | undefined;
    let outages = 0;
    const getJob = distant.getJob.bind(distant);
    distant.getJob = (...args) =>
      getJob(...args).catch(async (error: unknown) => {
        outages++;
        await cut;
        await proxy.restore();
        throw error;
      });
    const job = await distant.waitForJob(id, {
      intervalMs: 20,
      onUpdate: ({ status }) => {
        seen.push(status);
        if (seen.length === 1) {
          vi.setSystemTime(Date.now() + 120_000);
          cut = proxy.cut();
        }
        if (seen.length === 2) worker = startWorker();
      },
    });
    expect(job.status).toBe('succeeded');
    expect(seen[0]).toBe('queued');
    expect(outages).toBe(1);
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
