import type { Job } from '@headstart/contracts';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { type Deployment, hasEnded, startDeployment } from '../support/deployment.js';
import type { LogLine } from '../support/services.js';

/** Far longer than any test waits. */
const LONG = { epochs: 5000 };

let deployment: Deployment;
beforeEach(async () => {
  deployment = await startDeployment(inject('redisUrl'));
});
afterEach(() => deployment.end());

const started = ({ msg }: LogLine) => msg === 'attempt started';
const hasEpochs = (count: number) => (job: { metrics: unknown[] }) => job.metrics.length >= count;
const exists = (folder: unknown, file: string) => existsSync(join(fileURLToPath(String(folder)), file));

/** The job says where its newest and its best checkpoint are, and there they are. */
function expectCheckpoints({ error, checkpoint }: Job): void {
  const { lastCheckpointUri, bestCheckpointUri } = error?.details ?? {};
  expect(lastCheckpointUri).toBe(checkpoint?.uri);
  expect(exists(lastCheckpointUri, 'checkpoint.json')).toBe(true);
  expect(exists(bestCheckpointUri, 'checkpoint.json')).toBe(true);
}

describe('canceling', () => {
  it('stops training, twice as well as once, keeps its checkpoints and says where', async () => {
    await deployment.startWorker();
    const { id } = await deployment.post({ training: LONG });
    await deployment.waitFor(id, hasEpochs(4));
    await deployment.client.cancelJob(id);
    await deployment.client.cancelJob(id);
    const canceled = await deployment.waitFor(id, hasEnded, 10_000);
    expect(canceled).toMatchObject({ status: 'canceled', error: { code: 'canceled' } });
    expectCheckpoints(canceled);
  });

  it('ends a trainer that does not hear within five seconds, and says where its checkpoints are', async () => {
    const worker = await deployment.startWorker();
    const { id } = await deployment.post({ training: LONG });
    const { trainerPid } = await worker.waitForLog(started);
    await deployment.waitFor(id, ({ checkpoint }) => (checkpoint?.epoch ?? 0) >= 4);
    process.kill(Number(trainerPid), 'SIGSTOP');
    const startMs = performance.now();
    await deployment.client.cancelJob(id);
    const canceled = await deployment.waitFor(id, hasEnded, 20_000);
    expect(canceled).toMatchObject({ status: 'canceled', error: { code: 'canceled' } });
    expectCheckpoints(canceled);
    // It had its time to hear.
    expect(performance.now() - startMs).toBeGreaterThan(3500);
  });
});

describe('finishing', () => {
  it('ends training at the next step, and publishes the model as it is', async () => {
    await deployment.startWorker();
    const { id } = await deployment.post({ training: LONG });
    await deployment.waitFor(id, hasEpochs(2));
    await deployment.client.finishJob(id);
    const job = await deployment.waitFor(id, hasEnded);
    expect(job).toMatchObject({ status: 'succeeded', error: null });
    expect(job.finishRequestedAt).not.toBeNull();
    expect(job.metrics.length).toBeLessThan(LONG.epochs);
    expect(exists(job.artifacts?.uri, 'model/model.json')).toBe(true);
    expect(exists(job.artifacts?.uri, 'manifest.json')).toBe(true);
  });
});
