import { ROLES } from '@headstart/contracts';
import { addJob, createApiKey, newJobId, revokeApiKey } from '@headstart/queue';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { startApi, type TestApi } from '../support/api.js';
import { makeHolder, UNLIMITED } from '../support/keys.js';
import { poll } from '../support/poll.js';
import { makePayload } from '../support/queue.js';

let api: TestApi;
const start = async (env: Record<string, string> = {}) => {
  api = await startApi(inject('redisUrl'), { env });
};
afterEach(() => api.close());

const withKey = (key: string) => api.ask({ url: '/jobs', headers: { authorization: `Bearer ${key}` } });
const statusOf = async (answer: Promise<{ status: number }>) => (await answer).status;

describe('without any key', () => {
  it('everybody is admitted on a loopback address, until there is one', async () => {
    await start();
    expect(await statusOf(api.ask({ url: '/jobs' }))).toBe(200);
    // A gateway's own header, for example.
    expect(await statusOf(withKey('hs_of-somebody-else'))).toBe(200);
    const { key } = await makeHolder(api, { tenant: 'birds' });
    await poll(
      'the first key',
      async () => ((await statusOf(api.ask({ url: '/jobs' }))) === 401 ? true : null),
      3000,
    );
    expect(await statusOf(withKey(key))).toBe(200);
  });

  it('whoever listens to a job without a key hears no more of it once there is one', async () => {
    await start();
    const id = newJobId();
    await addJob(api.queue, id, makePayload(), 1);
    const url = await api.app.listen({ host: '127.0.0.1', port: 0 });
    const response = await fetch(`${url}/jobs/${id}/events`);
    expect(response.status).toBe(200);
    await makeHolder(api, { tenant: 'birds' });
    // It ends, though the job does not.
    expect(await response.text()).toContain('event: status');
    expect((await fetch(`${url}/jobs/${id}/events`)).status).toBe(401);
  });

  it('the first key is known at once, and nobody with it is taken for anybody', async () => {
    await start();
    expect(await statusOf(api.ask({ url: '/jobs' }))).toBe(200);
    const { ask } = await makeHolder(api, { tenant: 'birds', role: 'read' });
    expect(await ask({ method: 'DELETE', url: `/jobs/${newJobId()}` })).toMatchObject({
      status: 403,
      body: { code: 'role_forbidden' },
    });
  });

  it('nobody is admitted from elsewhere, unless the configuration says so', async () => {
    await start({ API_HOST: '0.0.0.0' });
    expect(await api.ask({ url: '/jobs' })).toMatchObject({ status: 401, body: { code: 'unauthorized' } });
    await api.close();
    await start({ API_HOST: '0.0.0.0', API_ALLOW_ANONYMOUS: 'true' });
    expect(await statusOf(api.ask({ url: '/jobs' }))).toBe(200);
  });
});

describe('with a key', () => {
  beforeEach(() => start());

  it('a request needs one that is known and not revoked', async () => {
    const { key, keyId } = await makeHolder(api, { tenant: 'birds' });
    for (const [authorization, challenge] of [
      [undefined, 'Bearer realm="headstart"'],
      ['Basic aGVsbG86d29ybGQ=', 'Bearer realm="headstart"'],
      [`Bearer ${key}x`, 'Bearer realm="headstart", error="invalid_token"'],
      [`Bearer ${key.slice(0, -1)}`, 'Bearer realm="headstart", error="invalid_token"'],
      [
        `Bearer ${key.slice(0, -1)}${key.endsWith('A') ? 'B' : 'A'}`,
        'Bearer realm="headstart", error="invalid_token"',
      ],
    ] as const) {
      const answer = await api.ask({ url: '/jobs', headers: { ...(authorization && { authorization }) } });
      expect(answer).toMatchObject({ status: 401, body: { code: 'unauthorized', retryable: false } });
      expect(answer.headers['www-authenticate']).toBe(challenge);
      expect(JSON.stringify(answer.body)).not.toContain(key.slice(3, -1));
    }
    expect(await statusOf(withKey(key))).toBe(200);
    expect(await statusOf(api.ask({ url: '/jobs', headers: { authorization: `bearer ${key}` } }))).toBe(200);

    await revokeApiKey(api.queue, keyId);
    await poll('the revocation', async () => ((await statusOf(withKey(key))) === 401 ? true : null), 3000);
    // The last key is gone, and nobody is admitted for that.
    expect(await statusOf(api.ask({ url: '/jobs' }))).toBe(401);
    await api.queue.redis.del(`${api.queue.prefix}:api-keys`, `${api.queue.prefix}:api-keys:version`);
    const { key: other } = await makeHolder(api, { tenant: 'birds' });
    expect(await statusOf(withKey(other))).toBe(200);
    expect(await statusOf(api.ask({ url: '/jobs' }))).toBe(401);
  });

  it('is taken at once, however short ago it was made', async () => {
    await makeHolder(api, { tenant: 'birds' });
    for (let i = 0; i < 5; i++) {
      const { key } = await makeHolder(api, { tenant: 'birds' });
      expect(await statusOf(withKey(key))).toBe(200);
    }
  });

  it('is not kept, and not logged', async () => {
    const { key, record } = await createApiKey(api.queue, {
      tenant: 'birds',
      name: 'CI of the bird watchers',
      role: 'read',
      quotas: UNLIMITED,
      uriPrefixes: null,
    });
    expect(key).toMatch(/^hs_[\w-]{43}$/);
    await withKey(key);
    await withKey(`${key}x`);
    const stored = await api.queue.redis.hgetall(`${api.queue.prefix}:api-keys`);
    expect(Object.keys(stored)).toEqual([record.id]);
    for (const text of [JSON.stringify(stored), JSON.stringify(api.log)])
      expect(text).not.toContain(key.slice('hs_'.length));
    expect(api.log.filter(({ keyId, tenant }) => keyId === record.id && tenant === 'birds')).not.toEqual([]);
  });

  it.each(['/healthz', '/readyz', '/metrics'])('%s needs none', async (url) => {
    await makeHolder(api, { tenant: 'birds' });
    expect((await api.app.inject({ url })).statusCode).toBe(200);
    expect((await api.app.inject({ url: '/nothing' })).statusCode).toBe(404);
    expect((await api.app.inject({ method: 'PUT', url: '/jobs' })).statusCode).toBe(405);
  });

  it('a role may do what it is for, and what those below it may', async () => {
    const id = newJobId();
    for (const [needed, method, path] of [
      ['read', 'GET', '/jobs'],
      ['read', 'GET', `/jobs/${id}`],
      ['read', 'HEAD', `/jobs/${id}`],
      ['read', 'GET', `/jobs/${id}/events`],
      ['read', 'GET', `/jobs/${id}/logs`],
      ['read', 'GET', `/jobs/${id}/artifacts`],
      ['read', 'GET', `/jobs/${id}/artifacts/job.json`],
      ['read', 'GET', `/jobs/${id}/deliveries`],
      ['submit', 'POST', `/jobs/${id}/deliveries/a/replay`],
      ['submit', 'POST', '/jobs'],
      ['submit', 'POST', '/jobs?dryRun=true'],
      ['submit', 'POST', `/jobs/${id}/cancel`],
      ['submit', 'POST', `/jobs/${id}/finish`],
      ['submit', 'POST', `/jobs/${id}/retry`],
      ['admin', 'DELETE', `/jobs/${id}`],
      ['admin', 'GET', '/webhooks'],
      ['admin', 'POST', '/webhooks'],
      ['admin', 'GET', '/webhooks/a'],
      ['admin', 'PATCH', '/webhooks/a'],
      ['admin', 'DELETE', '/webhooks/a'],
      ['admin', 'POST', '/webhooks/a/rotate-secret'],
      ['admin', 'GET', '/webhooks/a/deliveries'],
      ['admin', 'POST', '/webhooks/a/deliveries/b/replay'],
    ] as const)
      for (const role of ROLES) {
        const { key } = await makeHolder(api, { tenant: 'birds', role });
        const response = await api.app.inject({
          method,
          url: path,
          headers: { authorization: `Bearer ${key}` },
        });
        const isAllowed = ROLES.indexOf(role) >= ROLES.indexOf(needed);
        expect(response.statusCode === 403, `${role}: ${method} ${path}`).toBe(!isAllowed);
        if (isAllowed) continue;
        expect(response.headers['www-authenticate']).toContain(
          `error="insufficient_scope", scope="${needed}"`,
        );
        expect(response.json()).toMatchObject({ code: 'role_forbidden', details: { role, needed } });
      }
  });

  it('counts requests of its own, by its own limit', async () => {
    const quotas = { ...UNLIMITED, requestsPerMinute: 2 };
    const slow = await makeHolder(api, { tenant: 'birds', quotas });
    const other = await makeHolder(api, { tenant: 'birds', quotas });
    const free = await makeHolder(api, { tenant: 'birds' });
    for (const remaining of ['1', '0'])
      expect((await slow.ask({ url: '/jobs' })).headers).toMatchObject({
        'ratelimit-limit': '2',
        'ratelimit-remaining': remaining,
      });
    const refused = await slow.ask({ method: 'POST', url: '/jobs', payload: {} });
    expect(refused).toMatchObject({ status: 429, body: { code: 'rate_limited', retryable: true } });
    expect(refused.body['detail']).toContain('This key may send 2 requests a minute');
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect((await other.ask({ url: '/jobs' })).headers['ratelimit-remaining']).toBe('1');
    expect((await free.ask({ url: '/jobs' })).headers['ratelimit-limit']).toBe('60000');
  });
});
