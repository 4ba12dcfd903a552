import {
  addJob,
  announceEnding,
  createEndpoint,
  decideEnding,
  getRecord,
  type JobRecord,
  JOBS_QUEUE,
  newJobId,
  queueProgress,
  updateEndpoint,
} from '@headstart/queue';
import { Worker } from 'bullmq';
import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { poll } from '../support/poll.js';
import { makePayload, PROGRESS } from '../support/queue.js';
import { answerWith, type Receiver, startReceiver } from '../support/receiver.js';
import { openWebhooks, type Webhooks } from '../support/webhooks.js';

const SECRET = `whsec_${Buffer.alloc(32, 3).toString('base64')}`;
const TENANT = 'birds';
const ENDING = { status: 'succeeded', error: null, at: new Date().toISOString() } as const;

let webhooks: Webhooks;
let jobWorker: Worker;
let receiver: Receiver;
let answer: (response: ServerResponse, earlier: number) => void;

beforeEach(async () => {
  webhooks = openWebhooks(inject('redisUrl'), SECRET);
  const { redis: connection, prefix } = webhooks.parts;
  jobWorker = new Worker(JOBS_QUEUE, null, { connection, prefix });
  answer = answerWith(204);
  receiver = await startReceiver((response, earlier) => answer(response, earlier));
});
afterEach(async () => {
  await jobWorker.close();
  await webhooks.close();
  await receiver.close();
});

async function addRunning(webhook?: { url: string }): Promise<JobRecord> {
  const id = newJobId();
  const events = ['job.succeeded', 'job.progress'] as const;
  const payload = makePayload(webhook ? { webhook: { ...webhook, events: [...events] } } : {});
  await addJob(webhooks.parts, id, { ...payload, tenant: TENANT }, 500);
  expect((await jobWorker.getNextJob(newJobId()))?.id).toBe(id);
  const record = await getRecord(webhooks.parts.jobs, id);
  await record.updateProgress(PROGRESS);
  return record;
}
const create = (events: ('job.succeeded' | 'job.progress')[]) =>
  createEndpoint(webhooks.parts, TENANT, { url: receiver.url, events, enabled: true });
const typesReceived = () => receiver.received.map(({ body }) => (JSON.parse(body) as { type: string }).type);
async function end(record: JobRecord): Promise<void> {
  const ending = await decideEnding(webhooks.parts.redis, record, ENDING);
  await announceEnding(webhooks.parts, record, ending!);
}
const waiting = () => webhooks.parts.webhooks.getJobs(['waiting', 'delayed', 'prioritized']);

describe('progress', () => {
  it('goes to who has asked for it, with how far the job is', async () => {
    const record = await addRunning({ url: receiver.url });
    await create(['job.succeeded']);
    const endpoint = await create(['job.progress']);
    webhooks.startSending();
    await queueProgress(webhooks.parts, record);
    await poll('both', () => (receiver.received.length === 2 ? true : null));
    for (const { body } of receiver.received)
      expect(JSON.parse(body)).toMatchObject({
        type: 'job.progress',
        data: { id: record.id, status: 'running', progress: PROGRESS },
      });
    const ids = receiver.received.map(({ headers }) => String(headers['webhook-id']));
    expect(ids.filter((id) => id.includes(endpoint.id))).toHaveLength(1);
  });

  it('comes once in ten seconds at most, for each job and receiver', async () => {
    const records = [await addRunning({ url: receiver.url }), await addRunning({ url: receiver.url })];
    await create(['job.progress']);
    webhooks.startSending();
    for (let i = 0; i < 20; i++) for (const record of records) await queueProgress(webhooks.parts, record);
    await poll('two for each job', () => (receiver.received.length === 4 ? true : null));
    await poll('the queue to be empty', async () => ((await waiting()).length === 0 ? true : null));
    for (const record of records) await queueProgress(webhooks.parts, record);
    expect(await waiting()).toEqual([]);

    const { redis, webhooks: queue } = webhooks.parts;
    const keys = await redis.keys(queue.toKey('de:*'));
    expect(keys).toHaveLength(4);
    for (const key of keys) {
      const ms = await redis.pttl(key);
      expect(ms).toBeGreaterThan(5000);
      expect(ms).toBeLessThanOrEqual(10_000);
      // Ten seconds later.
      await redis.del(key);
    }
    for (const record of records) await queueProgress(webhooks.parts, record);
    await poll('the next', () => (receiver.received.length === 8 ? true : null));
  });

  it('is tried once', async () => {
    const record = await addRunning({ url: receiver.url });
    answer = answerWith(500);
    webhooks.startSending();
    await queueProgress(webhooks.parts, record);
    await poll('the try', () => (receiver.received.length === 1 ? true : null));
    await poll('its end', async () => ((await webhooks.parts.webhooks.getJobs()).length === 0 ? true : null));
    expect(receiver.received).toHaveLength(1);
  });

  it('that waits is dropped when the job has ended', async () => {
    const record = await addRunning();
    await create(['job.succeeded', 'job.progress']);
    await queueProgress(webhooks.parts, record);
    expect(await waiting()).toHaveLength(1);
    await end(record);
    webhooks.startSending();
    await poll('the end', () => (receiver.received.length === 1 ? true : null));
    await poll('the queue to be empty', async () => ((await waiting()).length === 0 ? true : null));
    expect(typesReceived()).toEqual(['job.succeeded']);
  });

  it('that is on its way keeps the end waiting, to that receiver alone', async () => {
    const record = await addRunning();
    await create(['job.succeeded', 'job.progress']);
    const other = await create(['job.succeeded']);
    await updateEndpoint(webhooks.parts, TENANT, other.id, () => ({ url: `${receiver.url}/other` }));
    let goOn: () => void = () => undefined;
    answer = (response, earlier) => {
      if (earlier === 0) goOn = () => answerWith(204)(response);
      else answerWith(204)(response);
    };
    webhooks.startSending();
    const arrives = receiver.next();
    await queueProgress(webhooks.parts, record);
    await arrives;
    await end(record);
    await poll('the end at the other', () => (receiver.received.length === 2 ? true : null));
    await poll('the end to be put back', async () =>
      (await webhooks.parts.webhooks.getDelayedCount()) === 1 ? true : null,
    );
    expect(receiver.received.map(({ path }) => path)).toEqual(['/hook', '/hook/other']);
    goOn();
    await poll('the end', () => (receiver.received.length === 3 ? true : null));
    expect(typesReceived()).toEqual(['job.progress', 'job.succeeded', 'job.succeeded']);
  });
});
