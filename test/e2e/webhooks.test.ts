import { setTimeout as delay } from 'node:timers/promises';
import { ENDING_EVENTS, WEBHOOK_EVENTS, type WebhookDelivery, type WebhookEvent } from '@headstart/contracts';
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, expect, inject, it } from 'vitest';
import { freePort } from '../../scripts/src/processes.js';
import { type Deployment, hasEnded, startDeployment } from '../support/deployment.js';
import { poll } from '../support/poll.js';
import { answerWith, type Received, startReceiver } from '../support/receiver.js';

let deployment: Deployment;
beforeEach(async () => {
  deployment = await startDeployment(inject('redisUrl'));
});
afterEach(() => deployment.end());

const verify = (secret: string, { body, headers }: Received) =>
  new Webhook(secret).verify(body, headers as Record<string, string>) as WebhookEvent;
const isEnding = (type: string) => (ENDING_EVENTS as readonly string[]).includes(type);

it('a webhook follows a job, is sent what a killed receiver has missed, and takes over a new secret', async () => {
  const port = await freePort();
  const first = await startReceiver(answerWith(204), port);
  const { client } = deployment;
  const { id, secret } = await client.createWebhook({ url: first.url, events: [...WEBHOOK_EVENTS] });
  await deployment.startWorker();
  const posted = await deployment.post({ training: { epochs: 600 } });
  await poll('progress', () => (first.received.length > 0 ? true : null));
  await first.close();
  for (const received of first.received)
    expect(verify(secret, received)).toMatchObject({
      type: 'job.progress',
      data: { id: posted.id, status: 'running', progress: { done: expect.any(Number) as number } },
    });

  const job = await deployment.waitFor(posted.id, hasEnded);
  expect(job.status).toBe('succeeded');
  const deliveries = async () => (await client.listWebhookDeliveries(id, { limit: 100 })).deliveries;
  const ofEnd = async () => (await deliveries()).filter(({ event }) => isEnding(event));
  const missed = await poll('the webhook to be given up', async () => {
    const log = await ofEnd();
    return log[0]?.result === 'given_up' ? log : null;
  });
  const webhookId = `${job.id}_job_succeeded_${id}`;
  const failed = { webhookId, event: 'job.succeeded', error: 'connection', status: null, isReplay: false };
  expect(missed).toMatchObject([
    { ...failed, result: 'given_up', nextAttemptAt: null },
    ...Array<unknown>(3).fill({ ...failed, result: 'failed' }),
  ]);

  const second = await startReceiver(answerWith(204), port);
  const rotated = await client.rotateWebhookSecret(id);
  await client.replayWebhookDelivery(id, webhookId);
  const [received] = await poll('the replay', () => (second.received.length > 0 ? second.received : null));
  for (const each of [secret, rotated.secret])
    expect(verify(each, received!)).toMatchObject({
      type: 'job.succeeded',
      data: { id: job.id, status: 'succeeded', artifacts: job.artifacts },
    });
  expect(received?.headers['webhook-id']).toBe(webhookId);
  const [replayed] = await poll('the log', async () => {
    const log = await ofEnd();
    return log.length === 5 ? log : null;
  });
  expect(replayed).toMatchObject({ webhookId, result: 'delivered', status: 204, isReplay: true });
  await second.close();
});

it('a job whose worker is killed as it ends, and that is canceled meanwhile, ends once for every receiver', async () => {
  const receiver = await startReceiver(answerWith(204));
  const { client } = deployment;
  const { id: endpoint } = await client.createWebhook({ url: receiver.url });
  for (const afterMs of [0, 10]) {
    const worker = await deployment.startWorker();
    const { id } = await deployment.post({ webhook: { url: receiver.url }, training: { epochs: 1 } });
    await worker.waitForLog(({ msg, jobId }) => msg === 'attempt ended' && jobId === id);
    await delay(afterMs);
    worker.signalAll('SIGKILL');
    await worker.ended;
    await client.cancelJob(id).catch(() => undefined);

    const next = await deployment.startWorker();
    const job = await deployment.waitFor(id, hasEnded);
    const logs = (): Promise<WebhookDelivery[][]> =>
      Promise.all([
        client.listJobDeliveries(id).then(({ deliveries }) => deliveries),
        client
          .listWebhookDeliveries(endpoint)
          .then(({ deliveries }) => deliveries.filter(({ jobId }) => jobId === id)),
      ]);
    const told = await poll('both receivers to be told', async () => {
      const tries = await logs();
      return tries.every((log) => log.some(({ result }) => result === 'delivered')) ? tries : null;
    });
    const event = `job.${job.status}`;
    for (const log of told) {
      expect(new Set(log.map(({ webhookId }) => webhookId)).size).toBe(1);
      expect(new Set(log.map((one) => one.event))).toEqual(new Set([event]));
    }
    next.signalAll('SIGKILL');
    await next.ended;
  }
  const ends = receiver.received.map(({ body }) => JSON.parse(body) as WebhookEvent);
  expect(new Set(ends.map(({ data }) => data.id)).size).toBe(2);
  expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(4);
  await receiver.close();
});
