import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { addWebhook } from '@headstart/queue';
import { createUrlGuard } from '@headstart/storage';
import { pino } from 'pino';
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { poll } from '../support/poll.js';
import { freePort } from '../../scripts/src/processes.js';
import { answerWith, type Receiver, startReceiver } from '../support/receiver.js';
import { EVENT, openWebhooks, type Webhooks } from '../support/webhooks.js';

const SECRET = `whsec_${Buffer.alloc(32, 3).toString('base64')}`;
let webhooks: Webhooks;
let receiver: Receiver | undefined;

beforeEach(() => {
  webhooks = openWebhooks(inject('redisUrl'), SECRET);
});

afterEach(async () => {
  await webhooks.close();
  await receiver?.close();
  receiver = undefined;
});

describe('a webhook', () => {
  it('is delivered after three answers 500, signed anew each time under the same id', async () => {
    receiver = await startReceiver((response, earlier) => answerWith(earlier < 3 ? 500 : 204)(response));
    webhooks.startSending();
    const record = await webhooks.ended(await webhooks.send({ url: receiver.url }), 'completed');
    expect(record.attemptsMade).toBe(4);
    expect(receiver.received).toHaveLength(4);
    const ids = new Set(receiver.received.map(({ headers }) => headers['webhook-id']));
    expect([...ids]).toEqual([record.id]);
    for (const { headers, body } of receiver.received) {
      expect(new Webhook(SECRET).verify(body, headers as Record<string, string>)).toEqual(record.data.event);
      expect(headers).toMatchObject({ 'content-type': 'application/json', 'user-agent': 'headstart' });
    }
  });

  it('is made once however often it is queued', async () => {
    receiver = await startReceiver(answerWith(200));
    const jobId = randomUUID();
    const payload = {
      version: 1,
      url: receiver.url,
      event: { ...EVENT, data: { ...EVENT.data, id: jobId } },
    } as const;
    await addWebhook(webhooks.parts.webhooks, payload);
    webhooks.startSending();
    await webhooks.ended(`${jobId}_job_succeeded`, 'completed');
    await addWebhook(webhooks.parts.webhooks, payload);
    expect(await webhooks.parts.webhooks.getJobCountByTypes('waiting', 'active', 'delayed')).toBe(0);
    expect(receiver.received).toHaveLength(1);
  });

  it('is not tried again after a 410', async () => {
    receiver = await startReceiver(answerWith(410));
    webhooks.startSending();
    const record = await webhooks.ended(await webhooks.send({ url: receiver.url }), 'failed');
    expect(record.failedReason).toContain('410');
    expect(receiver.received).toHaveLength(1);
  });

  it('is given up when the schedule is used up, and follows no redirect', async () => {
    receiver = await startReceiver(answerWith(302, { location: '/elsewhere' }));
    webhooks.startSending();
    const record = await webhooks.ended(await webhooks.send({ url: receiver.url }), 'failed');
    expect(record.failedReason).toContain('302');
    expect(receiver.received.map(({ path }) => path)).toEqual(Array(4).fill('/hook'));
  });

  it('is sent to no address that is not public, and is tried again, as DNS may be mended', async () => {
    receiver = await startReceiver(answerWith(200));
    webhooks.startSending({ guard: createUrlGuard([]), retryDelaysSeconds: [0.05] });
    for (const url of [receiver.url, receiver.url.replace('127.0.0.1', 'localhost')]) {
      const record = await webhooks.ended(await webhooks.send({ url }), 'failed');
      expect(record.failedReason).toContain('an address that is not public');
      expect(record.attemptsMade).toBe(2);
    }
    expect(receiver.received).toEqual([]);
  });

  it('fails where the receiver wants another protocol, which is no answer', async () => {
    const upgrade = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n';
    receiver = await startReceiver((response) => void response.socket?.write(upgrade));
    webhooks.startSending({ retryDelaysSeconds: [0.05] });
    const record = await webhooks.ended(await webhooks.send({ url: receiver.url }), 'failed');
    expect(record.attemptsMade).toBe(2);
    expect(record.failedReason).toContain('the connection ended without an answer');
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
    webhooks.startSending({
      retryDelaysSeconds: [0.05],
      logger: pino({ level: 'trace' }, { write: (line) => log.push(line) }),
    });
    const record = await webhooks.ended(await webhooks.send({ url: receiver.url }), 'failed');
    expect(log).toHaveLength(2);
    expect(JSON.stringify([record.toJSON(), log])).not.toContain(secret);
  });

  it('waits as long as Retry-After says', async () => {
    receiver = await startReceiver((response, earlier) =>
      answerWith(earlier === 0 ? 429 : 200, { 'retry-after': '1' })(response),
    );
    webhooks.startSending();
    await webhooks.ended(await webhooks.send({ url: receiver.url }), 'completed');
    const [first, second] = receiver.received;
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(950);
  });

  it('fails where the receiver is slow or there is none, and holds up no other', async () => {
    receiver = await startReceiver((response, earlier) => {
      if (earlier > 0) answerWith(200)(response);
    });
    webhooks.startSending({ timeoutMs: 500, retryDelaysSeconds: [] });
    const slow = await webhooks.send({ url: receiver.url });
    await poll('the slow one to be sent', () => (receiver?.received.length === 1 ? true : null));
    const nobody = await webhooks.send({ url: `http://127.0.0.1:${await freePort()}/hook` });
    const other = await webhooks.send({ url: receiver.url });
    await webhooks.ended(other, 'completed');
    expect((await webhooks.ended(slow, 'failed')).failedReason).toContain('not within 0.5 s');
    expect((await webhooks.ended(nobody, 'failed')).failedReason).toContain('did not answer');
  });

  it("is signed with the deployment's secret before too, where it has one", async () => {
    receiver = await startReceiver(answerWith(200));
    const previous = `whsec_${Buffer.alloc(32, 4).toString('base64')}`;
    webhooks.startSending({ secrets: [SECRET, previous] });
    const id = await webhooks.send({ url: receiver.url });
    await webhooks.ended(id, 'completed');
    const { body = '', headers } = receiver.received[0] ?? {};
    for (const secret of [SECRET, previous])
      expect(new Webhook(secret).verify(body, headers as Record<string, string>)).toMatchObject({
        type: 'job.succeeded',
      });
  });

  it('is never sent unsigned: it waits for a worker with a secret', async () => {
    receiver = await startReceiver(answerWith(200));
    webhooks.startSending({ secrets: [], retryDelaysSeconds: [3600] });
    const id = await webhooks.send({ url: receiver.url });
    const { webhooks: queue } = webhooks.parts;
    await poll('the webhook to wait', async () =>
      (await queue.getJobState(id)) === 'delayed' ? true : null,
    );
    expect((await queue.getJob(id))?.failedReason).toContain('WEBHOOK_SECRET');
    expect(receiver.received).toHaveLength(0);
  });
});
