import {
  createEndpoint,
  getEndpoint,
  listDeliveries,
  removeEndpoint,
  replayWebhook,
  rotateSecret,
  type StoredEndpoint,
  updateEndpoint,
} from '@headstart/queue';
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { deliveriesKey } from '../../packages/queue/src/keys.js';
import { freePort } from '../../scripts/src/processes.js';
import { startHttps } from '../support/https-server.js';
import { poll } from '../support/poll.js';
import { answerWith, type Received, type Receiver, startReceiver } from '../support/receiver.js';
import { openWebhooks, type Webhooks } from '../support/webhooks.js';

/** The deployment's, which signs nothing that goes to an endpoint. */
const SECRET = `whsec_${Buffer.alloc(32, 3).toString('base64')}`;
const TENANT = 'birds';

let webhooks: Webhooks;
let receiver: Receiver;
let answer: (earlier: number) => number;

beforeEach(async () => {
  webhooks = openWebhooks(inject('redisUrl'), SECRET);
  answer = () => 204;
  receiver = await startReceiver((response, earlier) => answerWith(answer(earlier))(response));
});
afterEach(async () => {
  await webhooks.close();
  await receiver.close();
});

const create = (url = receiver.url): Promise<StoredEndpoint> =>
  createEndpoint(webhooks.parts, TENANT, { url, events: ['job.succeeded'], enabled: true });
const logOf = async (id: string) => (await listDeliveries(webhooks.parts, id, { limit: 100 })).deliveries;
const send = ({ id }: StoredEndpoint) => webhooks.send({ endpoint: { tenant: TENANT, id } });

function isSignedWith(secret: string, { body, headers }: Received): boolean {
  try {
    new Webhook(secret).verify(body, headers as Record<string, string>);
    return true;
  } catch {
    return false;
  }
}

describe('what is sent to an endpoint', () => {
  it('is signed with its own secret', async () => {
    const [one, other] = [await create(), await create()];
    webhooks.startSending({ secrets: [] });
    await webhooks.ended(await send(one), 'completed');
    const [received] = receiver.received;
    const secrets = [one.secret, other.secret, SECRET];
    expect(secrets.map((secret) => isSignedWith(secret, received!))).toEqual([true, false, false]);
  });

  it('is signed with the secrets before a rotation too, for a day', async () => {
    const endpoint = await create();
    const { parts } = webhooks;
    const rotate = () => rotateSecret(parts, TENANT, endpoint.id);
    const secrets = [endpoint.secret, (await rotate()).secret, (await rotate()).secret];
    webhooks.startSending();
    await webhooks.ended(await send(endpoint), 'completed');
    const signed = () => secrets.map((secret) => isSignedWith(secret, receiver.received.at(-1)!));
    expect(signed()).toEqual([true, true, true]);
    expect(receiver.received[0]?.headers['webhook-signature']).toMatch(/^v1,\S+ v1,\S+ v1,\S+$/);

    // The first one's day is over.
    await updateEndpoint(parts, TENANT, endpoint.id, ({ previousSecrets }) => ({
      previousSecrets: previousSecrets.map((previous) =>
        previous.secret === endpoint.secret ? { ...previous, until: new Date().toISOString() } : previous,
      ),
    }));
    await webhooks.ended(await send(endpoint), 'completed');
    expect(signed()).toEqual([false, true, true]);

    // A replay is signed with what is valid by then.
    secrets.push((await rotate()).secret);
    const id = String(receiver.received[0]?.headers['webhook-id']);
    const arrives = receiver.next();
    await replayWebhook(parts.webhooks, endpoint.id, id);
    await arrives;
    expect(signed()).toEqual([false, true, true, true]);
  });

  it('goes to where the endpoint is by then, under the same id', async () => {
    const endpoint = await create();
    answer = (earlier) => (earlier === 0 ? 500 : 204);
    webhooks.startSending({ retryDelaysSeconds: [1] });
    const id = await send(endpoint);
    await receiver.next();
    await updateEndpoint(webhooks.parts, TENANT, endpoint.id, () => ({ url: `${receiver.url}/moved` }));
    await webhooks.ended(id, 'completed');
    expect(receiver.received.map(({ path }) => path)).toEqual(['/hook', '/hook/moved']);
    expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id']))).toEqual(new Set([id]));
  });

  it('is dropped where the endpoint is disabled or gone by then', async () => {
    const [disabled, gone] = [await create(), await create()];
    const ids = [await send(disabled), await send(gone)];
    await updateEndpoint(webhooks.parts, TENANT, disabled.id, () => ({ enabled: false }));
    await removeEndpoint(webhooks.parts, TENANT, gone.id);
    webhooks.startSending();
    const records = await Promise.all(ids.map((id) => webhooks.ended(id, 'failed')));
    expect(records.map(({ failedReason }) => failedReason)).toEqual([
      'The endpoint is disabled.',
      'The endpoint was removed.',
    ]);
    expect(receiver.received).toEqual([]);
    expect(await logOf(disabled.id)).toMatchObject([
      { result: 'given_up', error: 'disabled', url: null, status: null, nextAttemptAt: null },
    ]);
    expect(await logOf(gone.id)).toEqual([]);
  });

  it('disables it with a 410, and what waits for it is dropped', async () => {
    const endpoint = await create();
    answer = (earlier) => (earlier === 0 ? 500 : 410);
    webhooks.startSending({ retryDelaysSeconds: [1, 1] });
    const first = await send(endpoint);
    await receiver.next();
    const second = await webhooks.ended(await send(endpoint), 'failed');
    expect(second.failedReason).toContain('410');
    expect(await getEndpoint(webhooks.parts, TENANT, endpoint.id)).toMatchObject({
      enabled: false,
      disabledReason: 'gone',
    });
    await webhooks.ended(first, 'failed');
    expect(receiver.received).toHaveLength(2);
    expect(
      (await logOf(endpoint.id)).map(({ webhookId, error, status }) => [webhookId, error, status]),
    ).toEqual([
      [first, 'disabled', null],
      [second.id, 'status', 410],
      [first, 'status', 500],
    ]);
  });

  it('does not disable it where the 410 came from a URL that it has no longer', async () => {
    const endpoint = await create();
    const moved = 'https://example.com/';
    const gone = await startReceiver((response) => {
      void updateEndpoint(webhooks.parts, TENANT, endpoint.id, () => ({ url: moved })).then(() =>
        answerWith(410)(response),
      );
    });
    await updateEndpoint(webhooks.parts, TENANT, endpoint.id, () => ({ url: gone.url }));
    webhooks.startSending();
    await webhooks.ended(await send(endpoint), 'failed');
    expect(await getEndpoint(webhooks.parts, TENANT, endpoint.id)).toMatchObject({
      url: moved,
      enabled: true,
    });
    await gone.close();
  });
});

describe('the log', () => {
  it('has every try, with when the next is due, and nothing of the answers', async () => {
    const endpoint = await create(`${receiver.url}?token=secret-of-a-url`);
    answer = (earlier) => [500, 302, 204][earlier] ?? 204;
    webhooks.startSending({ retryDelaysSeconds: [0.2, 0.2] });
    const id = await send(endpoint);
    await webhooks.ended(id, 'completed');
    const log = await logOf(endpoint.id);
    const tries = log.map(({ result, status, error }) => [result, status, error]).reverse();
    expect(tries).toEqual([
      ['failed', 500, 'status'],
      ['failed', 302, 'status'],
      ['delivered', 204, null],
    ]);
    const [third, second, first] = log;
    expect(third).toMatchObject({
      webhookId: id,
      event: 'job.succeeded',
      nextAttemptAt: null,
      isReplay: false,
    });
    for (const [one, next] of [
      [first, second],
      [second, third],
    ]) {
      const late = Date.parse(next!.at) - Date.parse(one!.nextAttemptAt!);
      expect(late).toBeGreaterThanOrEqual(-50);
      expect(late).toBeLessThan(5000);
    }
    expect(log.map(({ url }) => url)).toEqual(Array(3).fill(receiver.url));
    expect(JSON.stringify(log)).not.toContain('secret');
  });

  it.each([
    ['connection', async () => `http://127.0.0.1:${await freePort()}/`],
    ['dns', async () => 'http://no-such-host.invalid/'],
    ['address', async () => 'http://10.0.0.1/'],
    ['tls', async () => receiver.url.replace('http:', 'https:')],
  ])('says %s where that is why nothing was delivered', async (error, urlOf) => {
    const endpoint = await create(await urlOf());
    webhooks.startSending({ retryDelaysSeconds: [] });
    await webhooks.ended(await send(endpoint), 'failed');
    expect(await logOf(endpoint.id)).toMatchObject([
      { error, status: null, result: 'given_up', nextAttemptAt: null },
    ]);
  });

  it('says tls where the certificate is nobody’s, and nothing where it is trusted', async (test) => {
    const https = await startHttps((_, response) => response.writeHead(204).end());
    if ('skip' in https) return test.skip(https.skip);
    try {
      const endpoint = await create(`${https.origin}/hook`);
      webhooks.startSending({ retryDelaysSeconds: [] });
      await webhooks.ended(await send(endpoint), 'failed');
      https.trust();
      await webhooks.ended(await send(endpoint), 'completed');
      expect((await logOf(endpoint.id)).map(({ error, status }) => [error, status])).toEqual([
        [null, 204],
        ['tls', null],
      ]);
    } finally {
      await https.stop();
    }
  });

  it('says timeout where no answer comes, and how long that took', async () => {
    const endpoint = await create();
    const silent = await startReceiver(() => undefined);
    await updateEndpoint(webhooks.parts, TENANT, endpoint.id, () => ({ url: silent.url }));
    webhooks.startSending({ retryDelaysSeconds: [], timeoutMs: 300 });
    await webhooks.ended(await send(endpoint), 'failed');
    const [entry] = await logOf(endpoint.id);
    expect(entry).toMatchObject({ error: 'timeout', status: null });
    expect(entry?.durationMs).toBeGreaterThanOrEqual(295);
    await silent.close();
  });

  it('is read in pages, keeps the latest 5,000, and goes after 30 days and with its endpoint', async () => {
    const endpoint = await create();
    webhooks.startSending();
    for (let i = 0; i < 5; i++) await webhooks.ended(await send(endpoint), 'completed');
    const { parts } = webhooks;
    const all = await logOf(endpoint.id);
    const pages: unknown[] = [];
    let cursor: string | undefined;
    do {
      const page = await listDeliveries(parts, endpoint.id, { limit: 2, cursor });
      pages.push(page.deliveries);
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    expect(pages.flat()).toEqual(all);
    expect(pages).toHaveLength(3);

    const key = deliveriesKey(parts.prefix, endpoint.id);
    expect(await parts.redis.ttl(key)).toBeGreaterThan(29 * 86_400);
    const fill = parts.redis.pipeline();
    for (let i = 0; i < 6000; i++) fill.xadd(key, '*', 'data', '{}');
    await fill.exec();
    await webhooks.ended(await send(endpoint), 'completed');
    const length = await parts.redis.xlen(key);
    expect(length).toBeGreaterThanOrEqual(5000);
    expect(length).toBeLessThan(5200);
    await removeEndpoint(parts, TENANT, endpoint.id);
    expect(await parts.redis.exists(key)).toBe(0);
  });
});

describe('a replay', () => {
  it('is one new try under the same id, signed anew', async () => {
    const endpoint = await create();
    answer = () => 500;
    webhooks.startSending({ retryDelaysSeconds: [] });
    const id = await send(endpoint);
    await webhooks.ended(id, 'failed');
    answer = (earlier) => (earlier === 1 ? 503 : 204);
    for (const status of [503, 204]) {
      // Timestamps are in seconds.
      const lastSecond = Math.floor((receiver.received.at(-1)?.atMs ?? 0) / 1000);
      await poll('another second', () => (Math.floor(Date.now() / 1000) > lastSecond ? true : null));
      const arrives = receiver.next();
      await replayWebhook(webhooks.parts.webhooks, endpoint.id, id);
      await arrives;
      await poll('the log', async () => ((await logOf(endpoint.id))[0]?.status === status ? true : null));
    }
    expect(
      (await logOf(endpoint.id)).map(({ result, isReplay, webhookId }) => [result, isReplay, webhookId]),
    ).toEqual([
      ['delivered', true, id],
      ['given_up', true, id],
      ['given_up', false, id],
    ]);
    const ofHeader = (name: string) => new Set(receiver.received.map(({ headers }) => headers[name]));
    expect(ofHeader('webhook-id')).toEqual(new Set([id]));
    for (const name of ['webhook-timestamp', 'webhook-signature']) expect(ofHeader(name).size).toBe(3);
    expect(new Set(receiver.received.map(({ body }) => body)).size).toBe(1);
    for (const request of receiver.received) expect(isSignedWith(endpoint.secret, request)).toBe(true);
  });

  it('is refused for what was never sent there', async () => {
    const [one, other] = [await create(), await create()];
    const id = await send(one);
    for (const [endpoint, webhookId] of [
      [other.id, id],
      [one.id, 'meta'],
      [one.id, id.replace('succeeded', 'failed')],
    ] as const)
      await expect(replayWebhook(webhooks.parts.webhooks, endpoint, webhookId)).rejects.toMatchObject({
        code: 'delivery_not_found',
      });
  });
});
