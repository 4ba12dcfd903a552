import { AppError, type JobError } from '@headstart/contracts';
import {
  addJob,
  announceEnding,
  cancelJob,
  createEndpoint,
  decideEnding,
  getRecord,
  type JobEnding,
  type JobPayload,
  JOBS_QUEUE,
  newJobId,
  toJob,
} from '@headstart/queue';
import { Worker } from 'bullmq';
import { afterEach, beforeEach, expect, inject, it } from 'vitest';
import { makePayload, openQueueParts, type QueueParts } from '../support/queue.js';

const ERROR: JobError = new AppError('storage_unavailable', 'The store is away.').toJobError();
const ending = (status: JobEnding['status'], error: JobError | null = null): JobEnding => ({
  status,
  error,
  at: new Date().toISOString(),
});

let parts: QueueParts;
let worker: Worker<JobPayload>;
beforeEach(() => {
  parts = openQueueParts(inject('redisUrl'));
  worker = new Worker<JobPayload>(JOBS_QUEUE, null, { connection: parts.redis, prefix: parts.prefix });
});
afterEach(async () => {
  await worker.close();
  await parts.close();
});

async function addRunning(tenant?: string): Promise<{ id: string; token: string }> {
  const id = newJobId();
  await addJob(parts, id, { ...makePayload(), ...(tenant !== undefined && { tenant }) }, 500);
  const token = newJobId();
  expect((await worker.getNextJob(token))?.id).toBe(id);
  return { id, token };
}
const webhookIds = async () => (await parts.webhooks.getJobs()).map(({ id }) => id);

it('is decided once, by whoever comes first', async () => {
  const { id } = await addRunning();
  const endings = [ending('succeeded'), ending('failed', ERROR), ending('canceled')];
  const decided = await Promise.all(
    endings.map(async (one) => decideEnding(parts.redis, await getRecord(parts.jobs, id), one)),
  );
  expect(new Set(decided.map((one) => JSON.stringify(one))).size).toBe(1);
  expect(endings).toContainEqual(decided[0]);
});

it('is not decided by an attempt behind which another has started', async () => {
  const { id } = await addRunning();
  const record = await getRecord(parts.jobs, id);
  await parts.redis.hset(parts.jobs.toKey(id), 'ats', 2);
  expect(await decideEnding(parts.redis, record, ending('succeeded'), 1)).toBeNull();
  expect((await getRecord(parts.jobs, id)).data.ending).toBeUndefined();
});

it('stands, with one webhook for each receiver, where the worker is lost behind it and a client cancels', async () => {
  const request = { url: 'https://example.com/', events: ['job.succeeded', 'job.canceled'] } as const;
  const { id: endpoint } = await createEndpoint(parts, 'birds', {
    url: request.url,
    events: [...request.events],
    enabled: true,
  });
  const { id, token } = await addRunning('birds');
  const record = await getRecord(parts.jobs, id);
  const decided = await decideEnding(parts.redis, record, ending('succeeded'), 1);
  await announceEnding(parts, record, decided!);

  // Back in the queue, as BullMQ puts the job of a lost worker.
  const lost = await getRecord(parts.jobs, id);
  await lost.moveToWait(token);
  expect(await toJob(await getRecord(parts.jobs, id))).toMatchObject({ status: 'queued' });
  expect(await cancelJob(parts, await getRecord(parts.jobs, id))).toMatchObject({ status: 'queued' });

  const again = await worker.getNextJob(newJobId());
  expect(again?.data.ending).toEqual(decided);
  await announceEnding(parts, again, decided!);
  await again?.moveToCompleted(undefined, again.token ?? '', false);
  expect(await toJob(await getRecord(parts.jobs, id))).toMatchObject({ status: 'succeeded', error: null });
  expect(await webhookIds()).toEqual([`${id}_job_succeeded_${endpoint}`]);
});

it('is told to the endpoints of its own tenant alone, and to those that want it', async () => {
  const create = (tenant: string, change: object = {}) =>
    createEndpoint(parts, tenant, {
      url: 'https://example.com/',
      events: ['job.failed'],
      enabled: true,
      ...change,
    });
  const wanted = await create('birds');
  await create('fish');
  await create('birds', { enabled: false });
  await create('birds', { events: ['job.succeeded'] });
  const { id } = await addRunning('birds');
  const record = await getRecord(parts.jobs, id);
  await announceEnding(parts, record, ending('failed', ERROR));
  expect(await webhookIds()).toEqual([`${id}_job_failed_${wanted.id}`]);
  const [webhook] = await parts.webhooks.getJobs();
  expect(webhook?.data).toMatchObject({
    endpoint: { tenant: 'birds', id: wanted.id },
    event: { type: 'job.failed', data: { id, status: 'failed', error: { code: 'storage_unavailable' } } },
  });
  expect(JSON.stringify(webhook)).not.toContain(wanted.secret);
});
