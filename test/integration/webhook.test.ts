import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { WebhookEvent } from '@headstart/contracts';
import {
  addWebhook,
  createRedis,
  createWebhookQueue,
  type WebhookPayload,
  type WebhookRecord,
} from '@headstart/queue';
import { createUrlGuard } from '@headstart/storage';
import { createWebhookWorker, type WebhookWorkerOptions } from '@headstart/worker';
import type { Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { pino } from 'pino';
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { poll } from '../support/poll.js';
import { freePort } from '../../scripts/src/processes.js';
import { type Receiver, startReceiver } from '../support/receiver.js';
import { LOOPBACK } from '../support/storage.js';

const SECRET = `whsec_${Buffer.alloc(32, 3).toString('base64')}`;
const EVENT: WebhookEvent = {
  type: 'job.succeeded',
  timestamp: '2026-01-01T00:00:00.000Z',
  data: {
    id: 'one',
    status: 'succeeded',
    artifacts: null,
    error: null,
    metadata: {},
    createdAt: '2026-01-01T00:00:00.000Z',
    startedAt: null,
    finishedAt: null,
    metrics: null,
  },
};

let redis: Redis;
let queue: Queue<WebhookPayload>;
let prefix: string;
let worker: Worker<WebhookPayload> | undefined;
let receiver: Receiver | undefined;

beforeEach(() => {
  prefix = `test-${randomUUID()}`;
  redis = createRedis(inject('redisUrl'), 'worker');
  queue = createWebhookQueue(redis, prefix);
});

afterEach(async () => {
  await worker?.close(true);
  await queue.obliterate({ force: true });
  await queue.close();
  await receiver?.close();
  redis.disconnect();
  worker = receiver = undefined;
});

function startSending(config: Partial<WebhookWorkerOptions> = {}): void {
  worker = createWebhookWorker({
    redis,
    prefix,
    logger: pino({ level: 'silent' }),
    secret: SECRET,
    retryDelaysSeconds: [0.05, 0.05, 0.05],
    timeoutMs: 5000,
    guard: createUrlGuard(LOOPBACK),
    ...config,
  });
  void worker.run();
}

async function send(url: string): Promise<string> {
  const { id } = await addWebhook(queue, randomUUID(), { version: 1, url, event: EVENT });
  return id ?? '';
}

function ended(id: string, state: 'completed' | 'failed'): Promise<WebhookRecord> {
  return poll(`webhook ${id} to be ${state}`, async () => {
    const record = await queue.getJob(id);
    return record && (await record.getState()) === state ? record : null;
  });
}

const answerWith =
  (status: number, headers: Record<string, string> = {}) =>
  (response: ServerResponse) =>
    void response.writeHead(status, headers).end();

describe('a webhook', () => {
  it('is delivered after three answers 500, signed anew each time under the same id', async () => {
    receiver = await startReceiver((response, earlier) => answerWith(earlier < 3 ? 500 : 204)(response));
    startSending();
    const record = await ended(await send(receiver.url), 'completed');
    expect(record.attemptsMade).toBe(4);
    expect(receiver.received).toHaveLength(4);
    const ids = new Set(receiver.received.map(({ headers }) => headers['webhook-id']));
    expect([...ids]).toEqual([record.id?.replaceAll('.', '_')]);
    for (const { headers, body } of receiver.received) {
      expect(new Webhook(SECRET).verify(body, headers as Record<string, string>)).toEqual(EVENT);
      expect(headers).toMatchObject({ 'content-type': 'application/json', 'user-agent': 'headstart' });
    }
  });

  it('is made once however often it is queued', async () => {
    receiver = await startReceiver(answerWith(200));
    const jobId = randomUUID();
    const payload = { version: 1, url: receiver.url, event: EVENT } as const;
    await addWebhook(queue, jobId, payload);
    startSending();
    await ended(`${jobId}.job.succeeded`, 'completed');
    await addWebhook(queue, jobId, payload);
    expect(await queue.getJobCountByTypes('waiting', 'active', 'delayed')).toBe(0);
    expect(receiver.received).toHaveLength(1);
  });

  it('is not tried again after a 410', async () => {
    receiver = await startReceiver(answerWith(410));
    startSending();
    const record = await ended(await send(receiver.url), 'failed');
    expect(record.failedReason).toContain('410');
    expect(receiver.received).toHaveLength(1);
  });

  it('is given up when the schedule is used up, and follows no redirect', async () => {
    receiver = await startReceiver(answerWith(302, { location: '/elsewhere' }));
    startSending();
    const record = await ended(await send(receiver.url), 'failed');
    expect(record.failedReason).toContain('302');
    expect(receiver.received.map(({ path }) => path)).toEqual(Array(4).fill('/hook'));
  });

  it('is sent to no address that is not public, and is tried again, as DNS may be mended', async () => {
    receiver = await startReceiver(answerWith(200));
    startSending({ guard: createUrlGuard([]), retryDelaysSeconds: [0.05] });
    for (const url of [receiver.url, receiver.url.replace('127.0.0.1', 'localhost')]) {
      const record = await ended(await send(url), 'failed');
      expect(record.failedReason).toContain('an address that is not public');
      expect(record.attemptsMade).toBe(2);
    }
    expect(receiver.received).toEqual([]);
  });

  it('keeps nothing of what the receiver answers', async () => {
    const secret = 'AKIA-internal-credentials';
    const answers = [
      (response: ServerResponse) =>
        void response.writeHead(500, { 'x-token': secret }).end(secret.repeat(1000)),
      (response: ServerResponse) => void response.socket?.end(`${secret} is no HTTP\r\n\r\n`),
    ];
    receiver = await startReceiver((response, earlier) => answers[earlier]?.(response));
    const log: string[] = [];
    startSending({
      retryDelaysSeconds: [0.05],
      logger: pino({ level: 'trace' }, { write: (line) => log.push(line) }),
    });
    const record = await ended(await send(receiver.url), 'failed');
    expect(log).toHaveLength(2);
    expect(JSON.stringify([record.toJSON(), log])).not.toContain(secret);
  });

  it('waits as long as Retry-After says', async () => {
    receiver = await startReceiver((response, earlier) =>
      answerWith(earlier === 0 ? 429 : 200, { 'retry-after': '1' })(response),
    );
    startSending();
    await ended(await send(receiver.url), 'completed');
    const [first, second] = receiver.received;
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(950);
  });

  it('fails where the receiver is slow or there is none, and holds up no other', async () => {
    receiver = await startReceiver((response, earlier) => {
      if (earlier > 0) answerWith(200)(response);
    });
    startSending({ timeoutMs: 500, retryDelaysSeconds: [] });
    const slow = await send(receiver.url);
    await poll('the slow one to be sent', () => (receiver?.received.length === 1 ? true : null));
    const nobody = await send(`http://127.0.0.1:${await freePort()}/hook`);
    const other = await send(receiver.url);
    await ended(other, 'completed');
    expect((await ended(slow, 'failed')).failedReason).toContain('not within 0.5 s');
    expect((await ended(nobody, 'failed')).failedReason).toContain('did not answer');
  });

  it('is never sent unsigned: it waits for a worker with a secret', async () => {
    receiver = await startReceiver(answerWith(200));
    startSending({ secret: undefined, retryDelaysSeconds: [3600] });
    const id = await send(receiver.url);
    const record = await poll('the webhook to wait', async () => {
      const found = await queue.getJob(id);
      return found && (await found.getState()) === 'delayed' ? found : null;
    });
    expect(record.failedReason).toContain('WEBHOOK_SECRET');
    expect(receiver.received).toHaveLength(0);
  });
});
