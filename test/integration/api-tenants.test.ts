import { buildDocument } from '@headstart/api';
import { AppError } from '@headstart/contracts';
import { addJob, claimFor, JOBS_QUEUE, newJobId, revokeApiKey, toQueueError } from '@headstart/queue';
import { Worker } from 'bullmq';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { type Answer, folderUri, makeFolders, startApi, type TestApi } from '../support/api.js';
import { type Holder, makeHolder } from '../support/keys.js';
import { makePayload } from '../support/queue.js';

/** Every route about a job. */
const ROUTES = [
  ['GET', ''],
  ['DELETE', ''],
  ['DELETE', '?files=true'],
  ['POST', '/cancel'],
  ['POST', '/finish'],
  ['POST', '/retry'],
  ['GET', '/events'],
  ['GET', '/logs'],
  ['GET', '/logs?format=text'],
  ['GET', '/artifacts'],
  ['GET', '/artifacts/job.json'],
  ['GET', '/deliveries'],
  ['POST', '/deliveries/b/replay'],
] as const;
/** And about a webhook of a tenant. */
const WEBHOOK_ROUTES = [
  ['GET', ''],
  ['PATCH', '', { enabled: false }],
  ['GET', '/deliveries'],
  ['POST', '/deliveries/b/replay'],
  ['POST', '/rotate-secret'],
  ['DELETE', ''],
] as const;

let api: TestApi;
let birds: Holder;
let fish: Holder;
let datasetUri: string;
beforeEach(async () => {
  api = await startApi(inject('redisUrl'));
  birds = await makeHolder(api, { tenant: 'birds' });
  fish = await makeHolder(api, { tenant: 'fish' });
  datasetUri = await makeFolders(join(api.root, 'flowers'), ['tulip', 'daisy']);
});
afterEach(() => api.close());

const idOf = ({ body }: Answer) => String(body['id']);
const idsOf = ({ body }: Answer) => (body['jobs'] as { id: string }[]).map(({ id }) => id);

function post({ ask }: Holder, change: object = {}, headers: Record<string, string> = {}): Promise<Answer> {
  const payload = { datasetUri, scenario: 'small-similar', ...change };
  return ask({ method: 'POST', url: '/jobs', headers, payload });
}

/** Adds a job that has left a file, in the state that is wanted. */
async function add(tenant: string, state: 'queued' | 'running' | 'failed' | 'succeeded'): Promise<string> {
  const id = newJobId();
  const folder = join(api.root, 'output', tenant, id);
  await mkdir(join(folder, 'model'), { recursive: true });
  await writeFile(join(folder, 'job.json'), '{}');
  const artifacts = {
    uri: folderUri(folder),
    files: { model: `${folderUri(folder)}model/model.json` },
  };
  const payload = { ...makePayload({ datasetUri }), tenant, outputUri: folderUri(folder), artifacts };
  await addJob(api.queue, id, payload, 1);
  if (state === 'queued') return id;
  const { redis: connection, prefix } = api.queue;
  const worker = new Worker(
    JOBS_QUEUE,
    async () => {
      if (state === 'failed') throw toQueueError(new AppError('diverged', 'It went wrong.'));
      if (state === 'running') await new Promise(() => undefined);
    },
    { connection, prefix },
  );
  const event = { running: 'active', failed: 'failed', succeeded: 'completed' }[state];
  await new Promise<void>((resolve) => worker.once(event as 'completed', () => resolve()));
  await worker.close(true);
  return id;
}

it('every route about one job or webhook is tried here', async () => {
  const { paths = {} } = await buildDocument();
  const documented = Object.entries(paths).flatMap(([path, item]) =>
    ['get', 'post', 'put', 'patch', 'delete']
      .filter((method) => item && method in item && path.includes('{'))
      .map((method) => `${method.toUpperCase()} ${path}`),
  );
  const pathOf = (path: string) =>
    path.split('?', 1)[0]?.replace('job.json', '{path}').replace('/b/', '/{webhookId}/');
  const tried = [
    ...ROUTES.map(([method, path]) => `${method} /jobs/{id}${pathOf(path)}`),
    ...WEBHOOK_ROUTES.map(([method, path]) => `${method} /webhooks/{id}${pathOf(path)}`),
  ];
  expect([...new Set(tried)].toSorted()).toEqual(documented.toSorted());
});

describe("another tenant's job", () => {
  it.each(['queued', 'running', 'failed', 'succeeded'] as const)(
    'is not there while it is %s',
    async (state) => {
      const id = await add('birds', state);
      const before = await birds.ask({ url: `/jobs/${id}` });
      expect(before).toMatchObject({ status: 200, body: { status: state } });
      const missing = newJobId();
      for (const [method, path] of ROUTES) {
        const theirs = await fish.ask({ method, url: `/jobs/${id}${path}` });
        const nobodys = await fish.ask({ method, url: `/jobs/${missing}${path}` });
        expect([theirs.status, theirs.body['code']]).toEqual([404, 'job_not_found']);
        // Nothing in the answer tells that it exists.
        const expected = JSON.stringify({ ...nobodys.body, requestId: theirs.body['requestId'] });
        expect(theirs.body).toEqual(JSON.parse(expected.replaceAll(missing, id)));
        expect(Object.keys(theirs.headers)).toEqual(Object.keys(nobodys.headers));
      }
      expect(await birds.ask({ url: `/jobs/${id}` })).toMatchObject({ status: 200, body: before.body });
      expect((await birds.ask({ url: `/jobs/${id}/artifacts` })).body['artifacts']).toHaveLength(1);
    },
  );

  it('is in no list, page or filter', async () => {
    // Those that wait come last: a worker would take them.
    const theirs = [await add('birds', 'running'), await add('birds', 'failed')];
    const own = [await add('fish', 'running'), await add('fish', 'succeeded')];
    theirs.push(await add('birds', 'queued'));
    own.push(await add('fish', 'queued'));
    for (const query of [
      '',
      '?status=running',
      '?status=failed',
      '?status=queued&status=succeeded',
      '?scenario=small-similar',
    ])
      for (const id of idsOf(await fish.ask({ url: `/jobs${query}` }))) expect(own).toContain(id);
    expect(idsOf(await fish.ask({ url: '/jobs' })).toSorted()).toEqual(own.toSorted());
    expect(idsOf(await birds.ask({ url: '/jobs' })).toSorted()).toEqual(theirs.toSorted());
    expect(idsOf(await fish.ask({ url: '/jobs?status=running' }))).toEqual([own[0]]);

    // A cursor is a place in time, whoever had it from whom.
    const { body } = await birds.ask({ url: '/jobs?limit=1' });
    const rest = idsOf(await fish.ask({ url: `/jobs?cursor=${String(body['nextCursor'])}` }));
    for (const id of rest) expect(own).toContain(id);
  });

  it('gives no weights', async () => {
    const id = await add('birds', 'succeeded');
    const missing = newJobId();
    const model = (job: string) => ({ model: { weights: `job:${job}` } });
    const [theirs, nobodys] = [await post(fish, model(id)), await post(fish, model(missing))];
    expect(theirs.status).toBe(400);
    expect(theirs.body['detail']).toBe(String(nobodys.body['detail']).replaceAll(missing, id));
    expect((await post(birds, model(id))).status).toBe(202);
  });

  it('is not made, found or refused by its Idempotency-Key', async () => {
    const headers = { 'idempotency-key': 'key-1' };
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        index % 2 === 0 ? post(birds, {}, headers) : post(fish, { priority: 7 }, headers),
      ),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
    const [a, b] = [0, 1].map((rest) => new Set(answers.filter((_, index) => index % 2 === rest).map(idOf)));
    expect([a?.size, b?.size]).toEqual([1, 1]);
    expect(a).not.toEqual(b);
    expect(idsOf(await birds.ask({ url: '/jobs' }))).toEqual([...(a ?? [])]);
    expect(idsOf(await fish.ask({ url: '/jobs' }))).toEqual([...(b ?? [])]);

    // The default tenant's keys are as they were before there were tenants.
    const claims = ['default', 'birds', 'fish'].map((tenant) => claimFor(tenant, 'key-1', {}));
    expect(new Set(claims.map(({ keyDigest }) => keyDigest)).size).toBe(3);

    const failed = [await add('birds', 'failed'), await add('fish', 'failed')];
    const retries = await Promise.all(
      [birds, fish].map(({ ask }, index) =>
        ask({ method: 'POST', url: `/jobs/${failed[index]}/retry`, headers: { 'idempotency-key': 'key-2' } }),
      ),
    );
    expect(retries.map(({ status, body }) => [status, body['retryOf']])).toEqual(
      failed.map((id) => [202, id]),
    );
  });

  it('has no webhook that another tenant can see, change or remove', async () => {
    const url = 'https://example.com/hook';
    const made = await birds.ask({ method: 'POST', url: '/webhooks', payload: { url } });
    const id = idOf(made);
    for (const [method, path, payload] of WEBHOOK_ROUTES)
      expect(
        await fish.ask({ method, url: `/webhooks/${id}${path}`, ...(payload && { payload }) }),
      ).toMatchObject({ status: 404, body: { code: 'webhook_not_found' } });
    expect((await fish.ask({ url: '/webhooks' })).body).toEqual({ webhooks: [] });
    expect((await birds.ask({ url: '/webhooks' })).body).toMatchObject({
      webhooks: [{ id, url, enabled: true }],
    });
  });

  it('has a folder of its own by default', async () => {
    for (const [holder, tenant] of [
      [birds, 'birds'],
      [fish, 'fish'],
    ] as const) {
      const { body } = await post(holder);
      const record = await api.queue.jobs.getJob(String(body['id']));
      expect(record?.data.outputUri).toBe(`${api.config.outputUri}${tenant}/${String(body['id'])}/`);
    }
  });

  it('is nothing that one can listen to, and its own events end when the key is revoked', async () => {
    const url = await api.app.listen({ host: '127.0.0.1', port: 0 });
    const id = await add('birds', 'queued');
    const listen = ({ key }: Holder) =>
      fetch(`${url}/jobs/${id}/events`, { headers: { authorization: `Bearer ${key}` } });
    expect((await listen(fish)).status).toBe(404);
    const response = await listen(birds);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (!text.includes('event: status')) text += (await reader.read()).value ?? '';
    await revokeApiKey(api.queue, birds.keyId);
    const revokedAtMs = performance.now();
    while (!(await reader.read()).done);
    expect(performance.now() - revokedAtMs).toBeLessThan(5000);
    expect((await listen(birds)).status).toBe(401);
  });
});

describe('a job from before there were keys', () => {
  it('is the default tenant’s', async () => {
    const id = newJobId();
    await addJob(api.queue, id, makePayload(), 1);
    const operators = await makeHolder(api, { tenant: 'default' });
    expect(idsOf(await operators.ask({ url: '/jobs' }))).toEqual([id]);
    expect((await operators.ask({ url: `/jobs/${id}` })).status).toBe(200);
    for (const { ask } of [birds, fish]) expect((await ask({ url: `/jobs/${id}` })).status).toBe(404);
  });
});

describe('an URI', () => {
  const allowed = () => [folderUri(join(api.root, 'birds')), 's3://pictures/birds'];
  let holder: Holder;
  beforeEach(async () => {
    holder = await makeHolder(api, { tenant: 'birds', role: 'submit', uriPrefixes: allowed() });
    datasetUri = await makeFolders(join(api.root, 'birds', 'flowers'), ['tulip', 'daisy']);
  });

  it.each([
    ['datasetUri', { datasetUri: 's3://pictures/birdsong/' }],
    ['datasetUri', { datasetUri: 's3://pictures/birds/../fish/' }],
    ['datasetUri', { datasetUri: 's3://pictures/' }],
    ['datasetUri', { datasetUri: 's3://other/birds/' }],
    ['datasetUri', { datasetUri: 's3://pictures/set.zip' }],
    ['model.weights', { model: { weights: 's3://pictures/fish/model.json' } }],
    ['output.uri', { output: { uri: 's3://pictures/fish/' } }],
    ['output.uri', { output: { uri: 's3://pictures' } }],
  ])('outside what the key may use is refused, naming %s (%j)', async (field, change) => {
    const { status, body } = await post(holder, change);
    expect([status, body['code']]).toEqual([403, 'uri_forbidden']);
    expect(body['errors']).toMatchObject([
      { field, allowed: [...allowed(), `${api.config.outputUri}birds/`] },
    ]);
    expect(body['detail']).toContain(field);
    expect((await api.queue.jobs.getJobCounts())['prioritized']).toBe(0);
  });

  it.each(['fish/flowers/', 'birds/../fish/flowers/', 'birds/%2e%2e/fish/flowers/', 'birdsong/'])(
    'that leads out of a folder on disk is refused (%s)',
    async (path) => {
      await makeFolders(join(api.root, 'fish', 'flowers'), ['tulip', 'daisy']);
      const answer = await post(holder, { datasetUri: `${folderUri(api.root)}${path}` });
      expect([answer.status, answer.body['code']]).toEqual([403, 'uri_forbidden']);
    },
  );

  it('within is taken, and so is the model of an own job, but not one from elsewhere', async () => {
    expect((await post(holder, { output: { uri: 's3://pictures/birds/models' } })).status).toBe(202);
    const own = await add('birds', 'succeeded');
    expect((await post(holder, { model: { weights: `job:${own}` } })).status).toBe(202);

    const elsewhere = folderUri(join(api.root, 'elsewhere'));
    const record = await api.queue.jobs.getJob(own);
    const artifacts = { uri: elsewhere, files: { model: `${elsewhere}model.json` } };
    await record?.updateData({ ...record.data, artifacts });
    const answer = await post(holder, { model: { weights: `job:${own}` } });
    expect(answer).toMatchObject({ status: 403, body: { errors: [{ field: 'model.weights' }] } });
  });

  it('is checked anew for a retry, which another key may have posted', async () => {
    datasetUri = await makeFolders(join(api.root, 'flowers'), ['tulip', 'daisy']);
    const id = await add('birds', 'failed');
    const retry = { method: 'POST', url: `/jobs/${id}/retry` } as const;
    expect(await holder.ask(retry)).toMatchObject({
      status: 403,
      body: { errors: [{ field: 'datasetUri' }] },
    });
    expect((await birds.ask(retry)).status).toBe(202);
  });
});
