import { afterEach, beforeEach, expect, inject, it } from 'vitest';
import { type Deployment, hasEnded, startDeployment } from '../support/deployment.js';
import { parseMetrics } from '../support/metrics.js';
import { poll } from '../support/poll.js';
import { startReceiver } from '../support/receiver.js';

let deployment: Deployment;
beforeEach(async () => {
  deployment = await startDeployment(inject('redisUrl'));
});
afterEach(() => deployment.end());

it('a worker shows attempts, phases, the pace, the feature cache and webhooks', async () => {
  const receiver = await startReceiver((response, earlier) => {
    response.writeHead(earlier === 0 ? 500 : 204).end();
  });
  const worker = await deployment.startWorker({
    METRICS_PORT: '0',
    IMAGENET_WEIGHTS_URL: 'http://127.0.0.1:1/weights.h5',
  });
  const { url } = await worker.waitForLog(({ msg }) => msg === 'metrics');
  const scrape = async () => parseMetrics(await (await fetch(String(url))).text());

  const first = await deployment.post({ webhook: { url: receiver.url }, training: { epochs: 300 } });
  const pace = 'headstart_pictures_per_second{phase="training"}';
  const running = await poll('the pace', async () => {
    const metrics = await scrape();
    return metrics.has(pace) ? metrics : null;
  });
  expect(running.get(pace)).toBeGreaterThan(0);
  await deployment.waitFor(first.id, hasEnded);
  const second = await deployment.post({ training: { epochs: 1 } });
  await deployment.waitFor(second.id, hasEnded);
  const third = await deployment.post({ model: { weights: 'imagenet' } });
  expect(await deployment.waitFor(third.id, hasEnded)).toMatchObject({ status: 'failed' });

  const metrics = await poll('the webhook', async () => {
    const now = await scrape();
    return now.has('headstart_webhook_deliveries_total{result="delivered"}') ? now : null;
  });
  expect(metrics.get('headstart_attempts_total{ending="done",code=""}')).toBe(2);
  expect(metrics.get('headstart_attempts_total{ending="failed",code="weights_unavailable"}')).toBe(1);
  for (const phase of ['features', 'training', 'export', 'upload'])
    expect(metrics.get(`headstart_phase_seconds_count{phase="${phase}"}`)).toBe(2);
  expect(metrics.get('headstart_phase_seconds_sum{phase="training"}')).toBeGreaterThan(0);
  expect(metrics.has(pace)).toBe(false);
  // Twenty pictures, of which the second job found all.
  expect(metrics.get('headstart_feature_cache_pictures_total{result="hit"}')).toBe(20);
  expect(metrics.get('headstart_feature_cache_pictures_total{result="miss"}')).toBe(20);
  expect(metrics.get('headstart_webhook_deliveries_total{result="failed"}')).toBe(1);
  expect(metrics.get('headstart_webhook_deliveries_total{result="delivered"}')).toBe(1);
  expect(metrics.get('process_resident_memory_bytes')).toBeGreaterThan(0);

  expect((await fetch(new URL('/', String(url)))).status).toBe(404);
  await receiver.close();
});

it('a worker whose metrics port is taken ends, and says so', async () => {
  const first = await deployment.startWorker({ METRICS_PORT: '0' });
  const { url } = await first.waitForLog(({ msg }) => msg === 'metrics');
  const { port } = new URL(String(url));
  await expect(deployment.startWorker({ METRICS_PORT: port })).rejects.toThrow(
    `address already in use 127.0.0.1:${port}`,
  );
});
