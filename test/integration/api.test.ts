import { Job, Plan, WEBHOOK_EVENTS } from '@headstart/contracts';
import { addJob, findJob, JOBS_QUEUE, newJobId, updatePayload } from '@headstart/queue';
import { Worker } from 'bullmq';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { type Answer, folderUri, makeFolders, startApi, type TestApi } from '../support/api.js';
import { makePayload } from '../support/queue.js';

let api: TestApi;
let datasetUri: string;

beforeEach(async () => {
  api = await startApi(inject('redisUrl'));
  datasetUri = await makeFolders(join(api.root, 'flowers'), ['tulip', 'daisy']);
});
afterEach(() => api.close());

const small = () => ({ datasetUri, scenario: 'small-similar' });
const errorsOf = ({ body }: Answer) => body['errors'] as { field: string; [key: string]: unknown }[];

describe('POST /jobs', () => {
  it('queues the smallest job, with its plan and a folder of its own', async () => {
    const answer = await api.post(small());
    expect(answer.status).toBe(202);
    const job = Job.parse(answer.body);
    expect(answer.headers.location).toBe(`/jobs/${job.id}`);
    expect(job).toMatchObject({ status: 'queued', priority: 500, attempts: 0, metadata: {}, error: null });
    expect(job.plan.classes).toEqual(['daisy', 'tulip']);
    expect(job.plan.layers.at(-1)).toMatchObject({ outputShape: [2], trained: true });

    const record = await findJob(api.queue.jobs, job.id);
    expect(record?.data).toMatchObject({
      version: 1,
      outputUri: `${api.config.outputUri}${job.id}/`,
      requestId: answer.headers['x-request-id'],
      jobModelUri: null,
    });
    expect((await api.ask({ url: `/jobs/${job.id}` })).body).toEqual(answer.body);
  });

  it('takes metadata, priority and output, and hands them back', async () => {
    const metadata = { team: 'birds', 'ticket.id': '42' };
    const uri = folderUri(join(api.root, 'models'));
    const { body } = await api.post({ ...small(), metadata, priority: 3, output: { uri: uri.slice(0, -1) } });
    const { body: read } = await api.ask({ url: `/jobs/${String(body['id'])}` });
    expect(read).toMatchObject({ metadata, priority: 3 });
    expect((await findJob(api.queue.jobs, String(body['id'])))?.data.outputUri).toBe(
      `${uri}${String(body['id'])}/`,
    );
  });

  it('hands jobs out by priority', async () => {
    const ids: unknown[] = [];
    for (const priority of [900, 1, undefined, 2])
      ids.push((await api.post({ ...small(), ...(priority && { priority }) })).body['id']);
    const waiting = await api.queue.jobs.getPrioritized();
    expect(waiting.map(({ id }) => ids.indexOf(id))).toEqual([1, 3, 2, 0]);
  });

  it('answers a dry run with the plan alone and queues nothing', async () => {
    const answer = await api.post(small(), '?dryRun=true');
    expect(answer.status).toBe(200);
    expect(Plan.strict().parse(answer.body).classes).toEqual(['daisy', 'tulip']);
    expect(await api.queue.jobs.getJobCountByTypes()).toBe(0);
    expect((await api.post(small(), '?dryRun=false')).status).toBe(202);
  });

  it('leaves the classes to the worker where the object store swallows everything', async () => {
    const silent = createServer((socket) => void socket.on('error', () => undefined)).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const patient = await startApi(inject('redisUrl'), { env: { S3_ENDPOINT: `http://127.0.0.1:${port}` } });
    try {
      const answer = await patient.post({ datasetUri: 's3://bucket/flowers/', scenario: 'small-similar' });
      expect(answer.status).toBe(202);
      expect(Job.parse(answer.body).plan.classes).toBeNull();
      expect(answer.ms).toBeLessThan(8000);
    } finally {
      await patient.close();
      silent.close();
    }
  });

  it('leaves the classes of an archive to the worker', async () => {
    await writeFile(join(api.root, 'flowers.zip'), 'PK');
    const answer = await api.post({ ...small(), datasetUri: `${folderUri(api.root)}flowers.zip` });
    expect(answer.status).toBe(202);
    expect(Job.parse(answer.body).plan.classes).toBeNull();
  });
});

describe('a request that is not valid', () => {
  it('names every unknown field, nested ones too', async () => {
    const answer = await api.post({
      ...small(),
      freezeLayer: 'all',
      training: { epoch: 3 },
      model: { head: [{ units: 8, dropuot: 0.5 }] },
    });
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
    expect(errorsOf(answer)).toEqual(
      expect.arrayContaining([
        { field: 'freezeLayer', message: 'Unknown field', received: 'all' },
        { field: 'training.epoch', message: 'Unknown field', received: 3 },
        { field: 'model.head.0.dropuot', message: 'Unknown field', received: 0.5 },
      ]),
    );
  });

  it('says what was received and what is allowed', async () => {
    const answer = await api.post({ datasetUri, scenario: 'smal-similar' });
    expect(errorsOf(answer)[0]).toMatchObject({
      field: 'scenario',
      received: 'smal-similar',
      allowed: ['small-similar', 'large-similar', 'small-different', 'large-different'],
    });
  });

  it.each([
    ['a missing field', {}, 'datasetUri'],
    ['a body that is no object', [], '(body)'],
  ])('has %s', async (_what, body, field) => {
    const answer = await api.post(body);
    expect(answer.status).toBe(400);
    expect(errorsOf(answer).map((error) => error.field)).toContain(field);
  });

  it('has no body', async () => {
    expect(await api.ask({ method: 'POST', url: '/jobs' })).toMatchObject({ status: 400 });
  });

  it.each(['?dryrun=true', '?dryRun=yes', '?dryRun=true&x=1'])('has the query %s', async (query) => {
    const answer = await api.post(small(), query);
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
    expect(errorsOf(answer)).toHaveLength(1);
  });

  it('names a layer that VGG19 does not have', async () => {
    const answer = await api.post({ ...small(), freezeLayers: 'block9_pool' });
    expect(answer).toMatchObject({ status: 400, body: { code: 'unknown_layer' } });
    expect(errorsOf(answer)[0]).toMatchObject({ field: 'freezeLayers', received: 'block9_pool' });
    expect(errorsOf(answer)[0]?.['allowed']).toContain('block3_pool');
  });

  it('freezes what its scenario trains', async () => {
    const answer = await api.post({ ...small(), scenario: 'large-different', freezeLayers: 'all' });
    expect(answer).toMatchObject({ status: 400, body: { code: 'freeze_conflict' } });
  });

  it('wants a webhook where none can be signed', async () => {
    const webhook = { url: 'https://example.com/hook' };
    expect((await api.post({ ...small(), webhook })).status).toBe(202);
    const unsigned = await startApi(inject('redisUrl'), {
      env: { WEBHOOK_SECRET: '', FILE_ROOTS: api.root },
    });
    try {
      const answer = await unsigned.post({ ...small(), webhook, output: { uri: folderUri(api.root) } });
      expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
      expect(errorsOf(answer)).toEqual([
        { field: 'webhook', message: 'WEBHOOK_SECRET is not configured', received: webhook.url },
      ]);
    } finally {
      await unsigned.close();
    }
  });
});

describe('a data set that cannot be trained on', () => {
  it('is not there', async () => {
    const answer = await api.post({ ...small(), datasetUri: folderUri(join(api.root, 'nothing')) });
    expect(answer).toMatchObject({ status: 422, body: { code: 'dataset_not_found' } });
  });

  it('has one class', async () => {
    const uri = await makeFolders(join(api.root, 'one'), ['daisy']);
    const answer = await api.post({ ...small(), datasetUri: uri });
    expect(answer).toMatchObject({ status: 422, body: { code: 'dataset_invalid' } });
  });

  it('has other classes than the request says', async () => {
    const answer = await api.post({ ...small(), model: { classes: ['daisy', 'rose'] } });
    expect(answer).toMatchObject({ status: 400 });
    expect(errorsOf(answer)[0]).toMatchObject({ field: 'model.classes', allowed: ['daisy', 'tulip'] });
  });

  it.each([
    ['a data set', { datasetUri: 'file:///etc/' }],
    ['an archive', { datasetUri: 'file:///etc/flowers.zip' }],
    ['an output folder', { output: { uri: 'file:///etc/' } }],
    ['weights', { model: { weights: 'file:///etc/vgg19.h5' } }],
  ])('or %s lies outside the allowed folder', async (_what, part) => {
    const answer = await api.post({ ...small(), ...part });
    expect(answer).toMatchObject({ status: 403, body: { code: 'uri_forbidden' } });
  });

  it('climbs out of the allowed folder', async () => {
    const answer = await api.post({ ...small(), datasetUri: `${folderUri(api.root)}..%2f..%2fetc/` });
    expect(answer.status).toBe(403);
  });
});

describe('weights of an earlier job', () => {
  async function addEnded(artifacts: Job['artifacts']): Promise<string> {
    const id = newJobId();
    const { record } = await addJob(api.queue, id, makePayload(), 1);
    await updatePayload(api.queue.redis, record, () => ({ artifacts }));
    const worker = new Worker(JOBS_QUEUE, async () => undefined, {
      connection: api.queue.redis,
      prefix: api.queue.prefix,
    });
    await new Promise<void>((resolve) => worker.once('completed', () => resolve()));
    await worker.close();
    return id;
  }

  it('are found by its id', async () => {
    const uri = folderUri(join(api.root, 'earlier'));
    const model = `${uri}model/model.json`;
    const id = await addEnded({ uri, files: { model } });
    const answer = await api.post({ ...small(), model: { weights: `job:${id}` } });
    expect(answer.status).toBe(202);
    const job = Job.parse(answer.body);
    expect(job.plan.weights).toEqual({ source: 'tfjs', uri: model, jobId: id });
    expect((await findJob(api.queue.jobs, job.id))?.data.jobModelUri).toBe(model);
  });

  it('are refused where there is no such job, no model, or no end yet', async () => {
    const queued = newJobId();
    await addJob(api.queue, queued, makePayload(), 1000);
    const withoutModel = await addEnded({ uri: folderUri(api.root), files: {} });
    const reasons: [string, string][] = [
      [newJobId(), 'there is no such job'],
      ['yesterday', 'there is no such job'],
      [withoutModel, 'the job has no model'],
    ];
    for (const [id, reason] of reasons) {
      const answer = await api.post({ ...small(), model: { weights: `job:${id}` } });
      expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
      expect(errorsOf(answer)).toEqual([{ field: 'model.weights', message: reason, received: `job:${id}` }]);
    }
  });

  it('are refused while it is queued', async () => {
    const { body } = await api.post(small());
    const answer = await api.post({ ...small(), model: { weights: `job:${String(body['id'])}` } });
    expect(errorsOf(answer)[0]?.['message']).toBe('the job is queued; it must have succeeded');
  });
});

describe('reading and canceling', () => {
  it('answers 404 for a job that is not there', async () => {
    for (const id of [newJobId(), 'meta', 'x', '1'])
      expect(await api.ask({ url: `/jobs/${id}` })).toMatchObject({
        status: 404,
        body: { code: 'job_not_found' },
      });
    expect(await api.ask({ method: 'POST', url: `/jobs/${newJobId()}/cancel` })).toMatchObject({
      status: 404,
    });
  });

  it('cancels a queued job at once, and again without a change', async () => {
    const webhook = { url: 'https://example.com/hook', events: WEBHOOK_EVENTS };
    const { body } = await api.post({ ...small(), webhook });
    const cancel = () => api.ask({ method: 'POST', url: `/jobs/${String(body['id'])}/cancel` });
    const canceled = await cancel();
    expect(canceled).toMatchObject({
      status: 200,
      body: { id: body['id'], status: 'canceled', error: { code: 'canceled' } },
    });
    expect((await cancel()).body).toEqual(canceled.body);
    expect((await api.ask({ url: `/jobs/${String(body['id'])}` })).body).toEqual(canceled.body);
    expect((await api.queue.webhooks.getJobs()).map(({ id }) => id)).toEqual([
      `${String(body['id'])}_job_canceled`,
    ]);
  });

  it('refuses to cancel a job that has ended, and a query', async () => {
    const { body } = await api.post(small());
    const url = `/jobs/${String(body['id'])}/cancel`;
    const worker = new Worker(JOBS_QUEUE, async () => undefined, {
      connection: api.queue.redis,
      prefix: api.queue.prefix,
    });
    await new Promise<void>((resolve) => worker.once('completed', () => resolve()));
    await worker.close();
    expect(await api.ask({ method: 'POST', url })).toMatchObject({
      status: 409,
      body: { code: 'job_ended' },
    });
    expect(await api.ask({ method: 'POST', url: `${url}?now=1` })).toMatchObject({ status: 400 });
  });

  it('takes the header of a JSON body without one', async () => {
    const { body } = await api.post(small());
    const answer = await api.ask({
      method: 'POST',
      url: `/jobs/${String(body['id'])}/cancel`,
      headers: { 'content-type': 'application/json' },
    });
    expect(answer.status).toBe(200);
  });
});
