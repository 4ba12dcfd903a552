import {
  decodeWebhookSecret,
  ENDING_EVENTS,
  MAX_WEBHOOK_ENDPOINTS,
  WEBHOOK_EVENTS,
} from '@headstart/contracts';
import {
  createEndpoint,
  listDeliveries,
  listEndpoints,
  recordDelivery,
  updateEndpoint,
} from '@headstart/queue';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { makeFolders, startApi, type TestApi } from '../support/api.js';

let api: TestApi;
beforeEach(async () => {
  // Endpoints have secrets of their own: the deployment needs none for them.
  api = await startApi(inject('redisUrl'), { env: { WEBHOOK_SECRET: undefined } });
});
afterEach(() => api.close());

const WEBHOOK_ID = '0b0e4f3c-5f0a-4c8e-9a52-5d1a3f0f6f6e_job_failed';
const URL = 'https://example.com/hook';
const create = (body: object = { url: URL }) => api.ask({ method: 'POST', url: '/webhooks', payload: body });
const change = (id: unknown, body: object) =>
  api.ask({ method: 'PATCH', url: `/webhooks/${String(id)}`, payload: body });

describe('a webhook', () => {
  it('is made with a secret of its own, which no later answer shows', async () => {
    const made = await create();
    expect(made).toMatchObject({
      status: 201,
      headers: { location: `/webhooks/${String(made.body['id'])}` },
      body: { url: URL, events: ENDING_EVENTS, enabled: true, previousSecretExpiresAt: null },
    });
    const { secret, ...shown } = made.body;
    expect(decodeWebhookSecret(String(secret))).toHaveLength(32);
    expect((await create()).body['secret']).not.toBe(secret);

    const read = await api.ask({ url: `/webhooks/${String(shown['id'])}` });
    expect(read).toMatchObject({ status: 200, body: shown });
    const list = await api.ask({ url: '/webhooks' });
    expect(list.body['webhooks']).toHaveLength(2);
    const changed = await change(shown['id'], { enabled: false });
    const before = Date.now();
    const rotated = await api.ask({ method: 'POST', url: `/webhooks/${String(shown['id'])}/rotate-secret` });
    expect(rotated.status).toBe(200);
    expect(decodeWebhookSecret(String(rotated.body['secret']))).toHaveLength(32);
    expect(rotated.body['secret']).not.toBe(secret);
    const day = Date.parse(String(rotated.body['previousSecretExpiresAt'])) - before;
    expect(Math.abs(day - 24 * 3_600_000)).toBeLessThan(5000);
    expect(JSON.stringify(rotated.body)).not.toContain(secret);
    for (const answer of [read, list, changed]) expect(JSON.stringify(answer)).not.toContain('whsec_');
    expect(JSON.stringify(api.log)).not.toContain('whsec_');
  });

  it('is changed field by field, and removed', async () => {
    const { id, createdAt } = (await create({ url: URL, events: ['job.failed'] })).body;
    expect(await change(id, { url: 'https://example.org/' })).toMatchObject({
      status: 200,
      body: { id, createdAt, url: 'https://example.org/', events: ['job.failed'], enabled: true },
    });
    expect((await change(id, { events: ['job.canceled'], enabled: false })).body).toMatchObject({
      url: 'https://example.org/',
      events: ['job.canceled'],
      enabled: false,
    });
    const remove = () => api.ask({ method: 'DELETE', url: `/webhooks/${String(id)}` });
    expect((await remove()).status).toBe(204);
    for (const answer of [await remove(), await change(id, { enabled: true })])
      expect(answer).toMatchObject({ status: 404, body: { code: 'webhook_not_found' } });
    expect((await api.ask({ url: '/webhooks' })).body).toEqual({ webhooks: [] });
  });

  it('is refused where its URL leads inside, at first and later', async () => {
    const { id } = (await create()).body;
    for (const url of ['http://127.0.0.1/', 'http://0x7f.1/', 'https://[::ffff:10.0.0.1]/'])
      for (const answer of [await create({ url }), await change(id, { url })])
        expect(answer).toMatchObject({ status: 403, body: { code: 'uri_forbidden' } });
    expect((await api.ask({ url: `/webhooks/${String(id)}` })).body).toMatchObject({ url: URL });
  });

  it.each([
    [{}, 'url'],
    [{ url: 'ftp://example.com/' }, 'url'],
    [{ url: 'https://me:hunter2@example.com/' }, 'url'],
    [{ url: URL, events: [] }, 'events'],
    [{ url: URL, events: ['job.started'] }, 'events.0'],
    [{ url: URL, secret: 'mine' }, 'secret'],
  ])('is refused as %j, by the name of the field', async (body, field) => {
    const answer = await create(body);
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request', errors: [{ field }] } });
    expect(JSON.stringify(answer.body)).not.toContain('hunter2');
  });

  it('is not changed by an empty body', async () => {
    const { id } = (await create()).body;
    expect((await change(id, {})).status).toBe(400);
  });

  it('is one of 16 at most, however many are posted at once', async () => {
    const answers = await Promise.all(Array.from({ length: MAX_WEBHOOK_ENDPOINTS + 4 }, () => create()));
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 201)).toHaveLength(16);
    expect(answers.find(({ status }) => status === 409)?.body).toMatchObject({ code: 'webhook_limit' });
    expect(statuses.filter((status) => status === 409)).toHaveLength(4);
  });

  it('that is disabled sends nothing again until it is enabled', async () => {
    const { id } = (await create()).body;
    const parts = api.queue;
    await updateEndpoint(parts, 'default', String(id), () => ({ enabled: false, disabledReason: 'gone' }));
    const replay = () =>
      api.ask({ method: 'POST', url: `/webhooks/${String(id)}/deliveries/${WEBHOOK_ID}/replay` });
    expect(await replay()).toMatchObject({ status: 409, body: { code: 'webhook_disabled' } });
    expect((await change(id, { url: 'https://example.org/' })).body).toMatchObject({
      disabledReason: 'gone',
    });
    expect((await change(id, { enabled: true })).body).toMatchObject({ enabled: true, disabledReason: null });
    expect(await replay()).toMatchObject({ status: 404, body: { code: 'delivery_not_found' } });
  });

  it("is not there for another tenant, and another tenant's not for it", async () => {
    const request = { url: URL, events: [...WEBHOOK_EVENTS], enabled: true };
    const { id } = await createEndpoint(api.queue, 'birds', request);
    const url = `/webhooks/${id}`;
    for (const answer of [
      await api.ask({ url }),
      await change(id, { enabled: false }),
      await api.ask({ method: 'DELETE', url }),
      await api.ask({ method: 'POST', url: `${url}/rotate-secret` }),
      await api.ask({ url: `${url}/deliveries` }),
      await api.ask({ method: 'POST', url: `${url}/deliveries/${WEBHOOK_ID}/replay` }),
    ])
      expect(answer).toMatchObject({ status: 404, body: { code: 'webhook_not_found' } });
    expect((await api.ask({ url: '/webhooks' })).body).toEqual({ webhooks: [] });
    expect(await listEndpoints(api.queue, 'birds')).toHaveLength(1);
  });
});

describe('deliveries', () => {
  const delivery = {
    webhookId: WEBHOOK_ID,
    event: 'job.failed',
    jobId: WEBHOOK_ID.slice(0, 36),
    url: URL,
    at: '2026-01-01T00:00:00.000Z',
    durationMs: 12,
    result: 'given_up',
    status: 500,
    error: 'status',
    nextAttemptAt: null,
    isReplay: false,
  } as const;

  it('of a webhook are listed, newest first, in pages', async () => {
    const { id } = (await create()).body;
    const url = `/webhooks/${String(id)}/deliveries`;
    expect((await api.ask({ url })).body).toEqual({ deliveries: [], nextCursor: null });
    for (const status of [500, 501, 502])
      await recordDelivery(api.queue, String(id), { ...delivery, status });
    const first = await api.ask({ url: `${url}?limit=2` });
    expect(first.body['deliveries']).toMatchObject([{ ...delivery, status: 502 }, { status: 501 }]);
    const second = await api.ask({ url: `${url}?limit=2&cursor=${String(first.body['nextCursor'])}` });
    expect(second.body).toMatchObject({ deliveries: [{ status: 500 }], nextCursor: null });
    for (const query of ['limit=0', 'limit=101', 'cursor=x', 'cursor=0-0', 'page=2'])
      expect((await api.ask({ url: `${url}?${query}` })).status).toBe(400);
  });

  it("of a job's own webhook are listed, replayed, and removed with the job", async () => {
    const own = await startApi(inject('redisUrl'));
    try {
      const datasetUri = await makeFolders(join(own.root, 'flowers'), ['tulip', 'daisy']);
      const posted = await own.post({ datasetUri, scenario: 'small-similar', webhook: { url: URL } });
      const url = `/jobs/${String(posted.body['id'])}`;
      await own.ask({ method: 'POST', url: `${url}/cancel` });
      const [webhook] = await own.queue.webhooks.getJobs();
      await recordDelivery(own.queue, String(posted.body['id']), {
        ...delivery,
        webhookId: webhook?.id ?? '',
      });
      const { body } = await own.ask({ url: `${url}/deliveries` });
      expect(body['deliveries']).toMatchObject([{ webhookId: webhook?.id, status: 500 }]);
      const replay = (id = '') => own.ask({ method: 'POST', url: `${url}/deliveries/${id}/replay` });
      expect(await replay(webhook?.id)).toMatchObject({ status: 202, body: { webhookId: webhook?.id } });
      expect(await replay(WEBHOOK_ID)).toMatchObject({ status: 404, body: { code: 'delivery_not_found' } });
      const queued = await own.queue.webhooks.getJobs();
      expect(queued.map(({ data }) => data)).toContainEqual({ ...webhook?.data, replayOf: webhook?.id });

      expect((await own.ask({ method: 'DELETE', url })).status).toBe(204);
      expect(await listDeliveries(own.queue, String(posted.body['id']), { limit: 1 })).toMatchObject({
        deliveries: [],
      });
    } finally {
      await own.close();
    }
  });
});
