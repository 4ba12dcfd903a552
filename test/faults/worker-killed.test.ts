import { afterEach, beforeEach, expect, inject, it } from 'vitest';
import { Environment } from '../../services/worker/src/config.js';
import { type Deployment, startDeployment } from '../support/deployment.js';

let deployment: Deployment;
beforeEach(async () => {
  deployment = await startDeployment(inject('redisUrl'));
});
afterEach(() => deployment.end());

it('a job whose worker is killed starts again within 60 s, by the default intervals', async () => {
  const { LOCK_DURATION_MS, STALLED_INTERVAL_MS } = Environment.shape;
  const env = {
    LOCK_DURATION_MS: String(LOCK_DURATION_MS.parse(undefined)),
    STALLED_INTERVAL_MS: String(STALLED_INTERVAL_MS.parse(undefined)),
  };
  const first = await deployment.startWorker(env);
  const { id } = await deployment.post({ training: { epochs: 300 } });
  const before = await deployment.waitFor(id, ({ checkpoint }) => (checkpoint?.epoch ?? 0) >= 1);
  const second = await deployment.startWorker(env);
  first.signalAll('SIGKILL');
  const killedAtMs = performance.now();
  await second.waitForLog(({ msg, jobId }) => msg === 'attempt started' && jobId === id, 60_000);
  const seconds = (performance.now() - killedAtMs) / 1000;
  console.log(`started again after ${seconds.toFixed(1)} s`);

  const resumed = await second.waitForLog(({ msg }) => msg === 'going on from a checkpoint');
  expect(resumed['epochs']).toBeGreaterThan(0);
  expect(await deployment.client.getJob(id)).toMatchObject({ attempts: 2, startedAt: before.startedAt });
});
