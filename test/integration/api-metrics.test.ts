import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { addWebhook, newJobId } from '@headstart/queue';
import { afterEach, beforeEach, expect, inject, it } from 'vitest';
import { makeFolders, startApi, type TestApi } from '../support/api.js';
import { parseMetrics } from '../support/metrics.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';

const README = readFileSync(resolve(import.meta.dirname, '../../README.md'), 'utf8');

let api: TestApi;
let proxy: TcpProxy;

beforeEach(async () => {
  const { hostname, port } = new URL(inject('redisUrl'));
  proxy = await startTcpProxy({ host: hostname, port: Number(port) });
  api = await startApi(inject('redisUrl'), { apiRedisUrl: `redis://127.0.0.1:${proxy.port}` });
});
afterEach(async () => {
  await api.close();
  await proxy.cut();
});

async function scrape(): Promise<Map<string, number>> {
  const { statusCode, headers, body } = await api.app.inject('/metrics');
  expect([statusCode, headers['content-type']]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
  return parseMetrics(body);
}

const depth = (queue: string, state: string) => `headstart_queue_depth{queue="${queue}",state="${state}"}`;
const OLDEST = 'headstart_queue_oldest_waiting_seconds';

it('measures requests by method, route and status, and no path of the client', async () => {
  await api.ask({ url: '/healthz' });
  await api.ask({ url: `/jobs/${newJobId()}` });
  await api.ask({ url: `/jobs/${newJobId()}` });
  await api.ask({ method: 'PUT', url: '/jobs' });
  await api.ask({ url: '/made-up' });
  const metrics = await scrape();
  const counted = [...metrics]
    .filter(([name]) => name.startsWith('headstart_http_request_duration_seconds_count'))
    .map(([name, count]) => [name.slice(name.indexOf('{')), count]);
  expect(Object.fromEntries(counted)).toEqual({
    '{method="GET",route="/healthz",status="200"}': 1,
    '{method="GET",route="/jobs/:id",status="404"}': 2,
    '{method="PUT",route="/jobs",status="405"}': 1,
    '{method="GET",route="none",status="404"}': 1,
  });
  for (const [name] of metrics) {
    const [, own] = /^(headstart_\w+?)(_bucket|_sum|_count)?(\{|$)/.exec(name) ?? [];
    if (own !== undefined) expect(README).toContain(`| \`${own}\``);
  }
  expect(metrics.get('process_resident_memory_bytes')).toBeGreaterThan(0);
});

it('shows both queues, and the job that has waited longest whatever its priority', async () => {
  const empty = await scrape();
  expect(empty.get('headstart_queue_up')).toBe(1);
  expect(empty.get(OLDEST)).toBe(0);

  const datasetUri = await makeFolders(join(api.root, 'flowers'), ['tulip', 'daisy']);
  const post = async (priority: number) =>
    (await api.post({ datasetUri, scenario: 'small-similar', priority })).body['id'] as string;
  const ids = [await post(500), await post(1000), await post(1), await post(1000)];
  const { redis, jobs, webhooks } = api.queue;
  const posted = async (id: string | undefined, hoursAgo: number) =>
    redis.hset(jobs.toKey(id ?? ''), 'timestamp', Date.now() - hoursAgo * 3_600_000);
  await posted(ids[0], 1);
  await posted(ids[1], 3);
  await posted(ids[2], 2);
  await addWebhook(webhooks, {
    version: 1,
    url: 'https://example.com/',
    event: { type: 'job.succeeded', data: { id: newJobId() } } as never,
  });

  const metrics = await scrape();
  expect(metrics.get(depth('jobs', 'waiting'))).toBe(4);
  expect(metrics.get(depth('jobs', 'active'))).toBe(0);
  expect(metrics.get(depth('webhooks', 'waiting'))).toBe(1);
  expect(metrics.get(depth('webhooks', 'failed'))).toBe(0);
  expect(metrics.get(OLDEST)).toBeGreaterThanOrEqual(3 * 3600);
  expect(metrics.get(OLDEST)).toBeLessThan(3 * 3600 + 60);
});

it('answers while Redis is away, and leaves out what only Redis knows', async () => {
  expect((await scrape()).has(OLDEST)).toBe(true);
  await proxy.cut();
  const metrics = await scrape();
  expect(metrics.get('headstart_queue_up')).toBe(0);
  expect([...metrics.keys()].filter((name) => name.startsWith('headstart_queue_'))).toEqual([
    'headstart_queue_up',
  ]);
});
