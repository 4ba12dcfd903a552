import { afterEach, beforeEach, expect, inject, it } from 'vitest';
import { startApi, type TestApi } from '../support/api.js';

let api: TestApi;

beforeEach(async () => {
  api = await startApi(inject('redisUrl'), { env: { RATE_LIMIT_PER_MINUTE: '3' } });
});
afterEach(() => api.close());

it('counts requests by client, says how many are left, and refuses those beyond the limit', async () => {
  for (const remaining of ['2', '1', '0']) {
    const { status, headers } = await api.ask({ url: '/jobs' });
    expect(status).toBe(200);
    expect(headers).toMatchObject({ 'ratelimit-limit': '3', 'ratelimit-remaining': remaining });
    expect(Number(headers['ratelimit-reset'])).toBeGreaterThan(0);
    expect(headers['retry-after']).toBeUndefined();
  }
  for (const options of [{ url: '/jobs' }, { method: 'POST', url: '/jobs', payload: {} }] as const) {
    const { status, headers, body } = await api.ask(options);
    expect([status, body['code'], body['retryable']]).toEqual([429, 'rate_limited', true]);
    expect(headers).toMatchObject({ 'ratelimit-limit': '3', 'ratelimit-remaining': '0' });
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    expect(Number(headers['retry-after'])).toBeLessThanOrEqual(60);
  }
  expect(await api.ask({ url: '/jobs', remoteAddress: '192.0.2.1' })).toMatchObject({ status: 200 });
});

it.each(['/healthz', '/readyz', '/metrics'])('counts no %s', async (url) => {
  for (let i = 0; i < 5; i++) {
    const { statusCode, headers } = await api.app.inject({ url });
    expect([statusCode, headers['ratelimit-limit']]).toEqual([200, undefined]);
  }
});
