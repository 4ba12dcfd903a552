import { appendEvent } from '@headstart/queue';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { makeFolders, startApi, type TestApi } from '../support/api.js';
import { poll } from '../support/poll.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';

let api: TestApi;
let proxy: TcpProxy;
let job: { datasetUri: string; scenario: string };

beforeEach(async () => {
  const { hostname, port } = new URL(inject('redisUrl'));
  proxy = await startTcpProxy({ host: hostname, port: Number(port) });
  api = await startApi(inject('redisUrl'), { apiRedisUrl: `redis://127.0.0.1:${proxy.port}` });
  job = {
    datasetUri: await makeFolders(join(api.root, 'flowers'), ['tulip', 'daisy']),
    scenario: 'small-similar',
  };
});
afterEach(async () => {
  await api.close();
  await proxy.cut();
});

/** Unlike node's `once`, not put off by the failed tries in between. */
const next = (event: 'ready' | 'reconnecting') =>
  new Promise<void>((resolve) => api.redis.once(event, () => resolve()));
const outages = () => api.log.filter(({ msg }) => String(msg).startsWith('Redis is away'));

/** @param dryRun what a dry run answers: it needs no queue, but to know whether there are keys. */
async function expectUnavailable(dryRun = 200): Promise<void> {
  for (const ask of [
    () => api.post(job),
    () => api.ask({ url: '/jobs/0b0e4f3c-5f0a-4c8e-9a52-5d1a3f0f6f6e' }),
    () => api.ask({ method: 'POST', url: '/jobs/0b0e4f3c-5f0a-4c8e-9a52-5d1a3f0f6f6e/cancel' }),
    () => api.ask({ url: '/readyz' }),
  ]) {
    const answer = await ask();
    expect(answer).toMatchObject({ status: 503, body: { code: 'queue_unavailable', retryable: true } });
    expect(answer.ms).toBeLessThan(1000);
  }
  expect((await api.ask({ url: '/healthz' })).status).toBe(200);
  expect((await api.post(job, '?dryRun=true')).status).toBe(dryRun);
}

describe('while Redis is away', () => {
  it('the service starts, answers 503 at once, and takes jobs as soon as Redis is there', async () => {
    await proxy.cut();
    await expectUnavailable(503);
    const ready = next('ready');
    await proxy.restore();
    await ready;
    expect((await api.post(job)).status).toBe(202);
    expect((await api.ask({ url: '/readyz' })).status).toBe(200);
  });

  it('a running service answers 503 at once, logs it once, and recovers with nothing lost', async () => {
    const { body } = await api.post(job);
    const url = `/jobs/${String(body['id'])}`;
    // The channel that carries cancels is open too.
    const other = await api.post(job);
    await api.ask({ method: 'POST', url: `/jobs/${String(other.body['id'])}/cancel` });

    await proxy.cut();
    await expectUnavailable();
    for (let tries = 0; tries < 4; tries++) await next('reconnecting');
    expect(outages()).toHaveLength(1);

    const ready = next('ready');
    await proxy.restore();
    await ready;
    expect((await api.ask({ url })).body).toEqual(body);
    expect(await api.ask({ method: 'POST', url: `${url}/cancel` })).toMatchObject({
      status: 200,
      body: { status: 'canceled' },
    });
    expect((await api.post(job)).status).toBe(202);
  });

  it('a Redis that swallows everything is answered with 503 within a second', async () => {
    expect((await api.post(job)).status).toBe(202);
    proxy.hang();
    await expectUnavailable();
    await proxy.restore();
    expect((await api.post(job)).status).toBe(202);
  });

  it.each(['cut', 'hang'] as const)('a service that loses it (%s) still closes', async (fault) => {
    const { body } = await api.post(job);
    await api.ask({ method: 'POST', url: `/jobs/${String(body['id'])}/cancel` });
    await proxy[fault]();
    const startMs = performance.now();
    await api.app.close();
    expect(performance.now() - startMs).toBeLessThan(4000);
  });

  it('who listens to a job that has ended, and is behind, does not hear of its end before the rest', async () => {
    const url = await api.app.listen({ host: '127.0.0.1', port: 0 });
    const { body } = await api.post(job);
    const id = String(body['id']);
    // More than a feed keeps at hand, and than connections do.
    const count = 1500;
    const fields = { ballast: 'x'.repeat(10_000) };
    for (let n = 0; n < count; n++)
      await appendEvent(api.queue, id, { type: 'log', level: 'info', message: `line ${n}`, fields });
    expect((await api.ask({ method: 'POST', url: `/jobs/${id}/cancel` })).status).toBe(200);

    const response = await fetch(`${url}/jobs/${id}/events`);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (!text.includes('line 250')) text += (await reader.read()).value ?? '';
    await proxy.cut();
    let hasEnded = false;
    const reading = (async () => {
      for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value;
      hasEnded = true;
    })();
    // A comment instead of the next event.
    await poll('what is at hand to be sent', () => (hasEnded || text.endsWith('\n\n:\n\n') ? true : null));
    await proxy.restore();
    await reading;
    expect(text.match(/"line \d+"/g)).toEqual(Array.from({ length: count }, (_, n) => `"line ${n}"`));
    expect(text.trimEnd().split('\n').at(-1)).toContain('"status":"canceled"');
  });
});

it('a process that is busy does not take Redis for silent', async () => {
  await api.post(job);
  let isAnswered = false;
  const list = api.ask({ url: '/jobs' }).finally(() => (isAnswered = true));
  // Each answer of Redis comes in a turn of its own, and each turn takes long.
  while (!isAnswered) {
    const untilMs = performance.now() + 200;
    while (performance.now() < untilMs);
    await new Promise(setImmediate);
  }
  const { status, ms } = await list;
  expect(status).toBe(200);
  expect(ms).toBeGreaterThan(1000);
});
