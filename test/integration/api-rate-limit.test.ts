import { readConfig } from '@headstart/api';
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

const ask = (forwardedFor: string, remoteAddress?: string) =>
  api.ask({
    url: '/jobs',
    headers: { 'x-forwarded-for': forwardedFor },
    ...(remoteAddress !== undefined && { remoteAddress }),
  });

it('counts the clients of a trusted gateway apart, by the last address that it did not make up itself', async () => {
  await api.close();
  const env = { RATE_LIMIT_PER_MINUTE: '1', TRUSTED_PROXIES: '127.0.0.0/8, 10.0.0.0/8' };
  api = await startApi(inject('redisUrl'), { env });
  expect(await ask('192.0.2.1')).toMatchObject({ status: 200 });
  // Through two gateways of ours, and with an address that the client claims to come from.
  expect(await ask('192.0.2.2, 10.0.0.1')).toMatchObject({ status: 200 });
  expect(await ask('198.51.100.7, 192.0.2.1')).toMatchObject({ status: 429 });
  expect(await ask('198.51.100.7, 192.0.2.2')).toMatchObject({ status: 429 });
  // Whoever is no gateway of ours is who connects.
  expect(await ask('198.51.100.8', '192.0.2.3')).toMatchObject({ status: 200 });
  expect(await ask('198.51.100.9', '192.0.2.3')).toMatchObject({ status: 429 });
});

it('believes nobody by default', async () => {
  for (const client of [1, 2, 3]) expect(await ask(`192.0.2.${client}`)).toMatchObject({ status: 200 });
  expect(await ask('192.0.2.4')).toMatchObject({ status: 429 });
});

it.each(['true', '10.0.0.0/33', 'gateway.example.com'])('takes no TRUSTED_PROXIES=%s', (value) => {
  const env = { TRUSTED_PROXIES: value, OUTPUT_URI: 'file:///data/' };
  expect(() => readConfig(env)).toThrow(/TRUSTED_PROXIES.*CIDR notation/);
});

it.each(['/healthz', '/readyz', '/metrics'])('counts no %s', async (url) => {
  for (let i = 0; i < 5; i++) {
    const { statusCode, headers } = await api.app.inject({ url });
    expect([statusCode, headers['ratelimit-limit']]).toEqual([200, undefined]);
  }
});
