import { afterEach, beforeEach, expect, inject, it } from 'vitest';
import { setTimeout as delay } from 'node:timers/promises';
import { Environment } from '../../services/worker/src/config.js';
import { type Deployment, hasEnded, startDeployment } from '../support/deployment.js';

const BLOCKED_MS = 60_000;

let deployment: Deployment;
beforeEach(async () => {
  deployment = await startDeployment(inject('redisUrl'));
});
afterEach(() => deployment.end());

it('a trainer that blocks for 60 s loses no lock, by the default intervals', async () => {
  const { LOCK_DURATION_MS, STALLED_INTERVAL_MS } = Environment.shape;
  const env = {
    LOCK_DURATION_MS: String(LOCK_DURATION_MS.parse(undefined)),
    STALLED_INTERVAL_MS: String(STALLED_INTERVAL_MS.parse(undefined)),
  };
  expect(BLOCKED_MS).toBeGreaterThan(Number(env.LOCK_DURATION_MS) + Number(env.STALLED_INTERVAL_MS));
  const first = await deployment.startWorker(env);
  const { id } = await deployment.post({ training: { epochs: 100 } });
  const { trainerPid } = await first.waitForLog(({ msg }) => msg === 'attempt started');
  const second = await deployment.startWorker(env);
  await deployment.waitFor(id, ({ metrics }) => metrics.length >= 2);

  // No thread of it runs: more than a native call could do.
  process.kill(Number(trainerPid), 'SIGSTOP');
  await delay(BLOCKED_MS);
  expect(await deployment.client.getJob(id)).toMatchObject({ status: 'running', attempts: 1 });
  process.kill(Number(trainerPid), 'SIGCONT');
  expect(await deployment.waitFor(id, hasEnded)).toMatchObject({
    status: 'succeeded',
    attempts: 1,
    error: null,
  });
  for (const { logs } of [first, second])
    expect(logs.filter(({ msg }) => msg.includes('another worker') || msg.includes('lost'))).toEqual([]);
}, 180_000);
