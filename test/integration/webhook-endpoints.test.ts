import { createEndpoint, removeEndpoint, type StoredEndpoint, updateEndpoint } from '@headstart/queue';
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
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
    webhooks.startSending({ secret: undefined });
    await webhooks.ended(await send(one), 'completed');
    const [received] = receiver.received;
    const secrets = [one.secret, other.secret, SECRET];
    expect(secrets.map((secret) => isSignedWith(secret, received!))).toEqual([true, false, false]);
  });

  it('goes to where the endpoint is by then, under the same id', async () => {
    const endpoint = await create();
    answer = (earlier) => (earlier === 0 ? 500 : 204);
    webhooks.startSending({ retryDelaysSeconds: [1] });
    const id = await send(endpoint);
    await receiver.next();
    await updateEndpoint(webhooks.parts, TENANT, endpoint.id, { url: `${receiver.url}/moved` });
    await webhooks.ended(id, 'completed');
    expect(receiver.received.map(({ path }) => path)).toEqual(['/hook', '/hook/moved']);
    expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id']))).toEqual(new Set([id]));
  });

  it('is dropped where the endpoint is disabled or gone by then', async () => {
    const [disabled, gone] = [await create(), await create()];
    const ids = [await send(disabled), await send(gone)];
    await updateEndpoint(webhooks.parts, TENANT, disabled.id, { enabled: false });
    await removeEndpoint(webhooks.parts, TENANT, gone.id);
    webhooks.startSending();
    const records = await Promise.all(ids.map((id) => webhooks.ended(id, 'failed')));
    expect(records.map(({ failedReason }) => failedReason)).toEqual([
      'The endpoint is disabled.',
      'The endpoint was removed.',
    ]);
    expect(receiver.received).toEqual([]);
  });
});
