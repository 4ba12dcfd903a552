import { HeadstartClient } from '@headstart/client';
import type { Job } from '@headstart/contracts';
import { createApiKey } from '@headstart/queue';
import { afterEach, beforeEach, expect, inject, it } from 'vitest';
import { type Deployment, hasEnded, startDeployment } from '../support/deployment.js';
import { UNLIMITED } from '../support/keys.js';
import { openQueueParts, type QueueParts } from '../support/queue.js';

let deployment: Deployment;
let queue: QueueParts;
beforeEach(async () => {
  deployment = await startDeployment(inject('redisUrl'));
  queue = openQueueParts(inject('redisUrl'), deployment.queuePrefix);
});
afterEach(async () => {
  await deployment.end();
  await queue.close();
});

async function clientOf(tenant: string): Promise<HeadstartClient> {
  const quotas = { ...UNLIMITED, running: 1 };
  const grant = { tenant, name: 'a test', role: 'submit', quotas, uriPrefixes: null } as const;
  const { key } = await createApiKey(queue, grant);
  return new HeadstartClient(deployment.api.url, { apiKey: key });
}

const isRunning = ({ status }: Job) => status === 'running';

it("a tenant's job beyond its quota waits while another tenant's runs, and starts when one has ended", async () => {
  const [birds, fish] = [await clientOf('birds'), await clientOf('fish')];
  const post = async (client: HeadstartClient) => {
    deployment.client = client;
    return (await deployment.post({ training: { epochs: 300 } })).id;
  };
  const workers = [await deployment.startWorker(), await deployment.startWorker()];
  const first = await post(birds);
  await deployment.waitFor(first, isRunning);
  const second = await post(birds);
  const waits = workers.map((worker) =>
    worker.waitForLog(({ jobId, maxRunning }) => jobId === second && maxRunning === 1),
  );
  await Promise.any(waits);
  const other = await post(fish);
  await deployment.waitFor(other, isRunning);
  expect(await birds.getJob(second)).toMatchObject({ status: 'queued', attempts: 0, startedAt: null });

  await fish.finishJob(other);
  deployment.client = birds;
  await birds.cancelJob(first);
  await deployment.waitFor(second, isRunning, 30_000);
  await birds.finishJob(second);
  expect(await deployment.waitFor(second, hasEnded)).toMatchObject({ status: 'succeeded', attempts: 1 });
});
