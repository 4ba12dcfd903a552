import { addJob, appendEvent, newJobId, PAYLOAD_VERSION } from '@headstart/queue';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { startApi, type TestApi } from '../support/api.js';
import { makeHolder } from '../support/keys.js';
import { makePayload } from '../support/queue.js';

let api: TestApi;
beforeEach(async () => {
  api = await startApi(inject('redisUrl'));
});
afterEach(() => api.close());

type Fields = Record<string, unknown>;

/** Queues a job as a newer release would that has changed the payload so. */
async function addNewer(change: (payload: Fields) => Fields): Promise<string> {
  const id = newJobId();
  await addJob(api.queue, id, makePayload(), 500);
  const key = api.queue.jobs.toKey(id);
  const payload = JSON.parse((await api.queue.redis.hget(key, 'data')) ?? '') as Fields;
  const newer = { ...change(payload), version: PAYLOAD_VERSION + 1 };
  await api.queue.redis.hset(key, 'data', JSON.stringify(newer));
  return id;
}

/** One that says more. */
const addWider = () =>
  addNewer(({ request, plan, ...rest }) => ({
    ...rest,
    request: { ...(request as Fields), model: { weights: 'random', precision: 'bfloat16' }, budget: 3 },
    plan: { ...(plan as Fields), energy: 'much' },
    region: 'eu',
  }));

const idsOf = (body: Fields) => (body['jobs'] as { id: string }[]).map(({ id }) => id);

describe('a job of a newer release', () => {
  it('is shown as far as this one knows it', async () => {
    const id = await addWider();
    const { status, body } = await api.ask({ url: `/jobs/${id}` });
    expect([status, body['status']]).toEqual([200, 'queued']);
    expect(body['request']).toEqual({ ...makePayload().request, model: { weights: 'random' } });
    expect(body['plan']).toMatchObject({ model: 'vgg19' });
    expect(idsOf((await api.ask({ url: '/jobs' })).body)).toEqual([id]);
  });

  it('can be canceled, which loses nothing of it, and is not run again without what is not known', async () => {
    const id = await addWider();
    const canceled = await api.ask({ method: 'POST', url: `/jobs/${id}/cancel` });
    expect([canceled.status, canceled.body['status']]).toEqual([200, 'canceled']);
    expect((await api.queue.jobs.getJob(id))?.data).toMatchObject({ region: 'eu', request: { budget: 3 } });
    expect(await api.ask({ method: 'POST', url: `/jobs/${id}/retry` })).toMatchObject({
      status: 503,
      body: { code: 'job_unreadable', retryable: true },
    });
  });

  it.each<[string, (payload: Fields) => Fields]>([
    ['has no request', (payload) => ({ ...payload, request: undefined })],
    ['has another kind of plan', (payload) => ({ ...payload, plan: 'in the object store' })],
    ['has other metrics', (payload) => ({ ...payload, metrics: [{ epoch: 'first' }] })],
    ['marks a cancel otherwise', (payload) => ({ ...payload, canceledAt: undefined })],
  ])('that %s is refused clearly, and keeps nobody from the others', async (_, change) => {
    const other = newJobId();
    await addJob(api.queue, other, makePayload(), 500);
    const id = await addNewer(change);
    for (const [method, path] of [
      ['GET', ''],
      ['POST', '/cancel'],
      ['GET', '/logs'],
      ['GET', '/events'],
    ] as const)
      expect(await api.ask({ method, url: `/jobs/${id}${path}` })).toMatchObject({
        status: 503,
        body: { code: 'job_unreadable', details: { version: PAYLOAD_VERSION + 1, known: PAYLOAD_VERSION } },
      });
    const list = await api.ask({ url: '/jobs' });
    expect([list.status, idsOf(list.body)]).toEqual([200, [other]]);
    const fish = await makeHolder(api, { tenant: 'fish' });
    expect((await fish.ask({ url: `/jobs/${id}` })).body).toMatchObject({ code: 'job_not_found' });
  });
});

it('events of a newer release are left out, and no others', async () => {
  const id = newJobId();
  await addJob(api.queue, id, makePayload(), 500);
  const log = (message: string) => ({ type: 'log', level: 'info', message, fields: {} }) as const;
  await appendEvent(api.queue, id, log('before'));
  await appendEvent(api.queue, id, { type: 'energy', joules: 3 } as never);
  await appendEvent(api.queue, id, log('after'));
  const logs = await api.app.inject({ url: `/jobs/${id}/logs?format=text` });
  expect(logs.body).toMatch(/^\S+ info before\n\S+ info after\n$/);
  await api.ask({ method: 'POST', url: `/jobs/${id}/cancel` });
  const events = await api.app.inject({ url: `/jobs/${id}/events` });
  expect(events.body.match(/^event: .*$/gm)).toEqual([
    'event: status',
    'event: log',
    'event: log',
    'event: status',
  ]);
});
