import { afterEach, beforeEach, expect, inject, it } from 'vitest';
import { type Deployment, hasEnded, startDeployment } from '../support/deployment.js';
import { openQueueParts } from '../support/queue.js';
import { startReceiver } from '../support/receiver.js';

let deployment: Deployment;
beforeEach(async () => {
  deployment = await startDeployment(inject('redisUrl'));
});
afterEach(() => deployment.end());

it('a job and a webhook of a newer release are left to its workers, and keep this one from no other', async () => {
  const receiver = await startReceiver((response) => void response.writeHead(204).end());
  const { id } = await deployment.post({ webhook: { url: receiver.url } });
  const queue = openQueueParts(inject('redisUrl'), deployment.queuePrefix);
  const key = queue.jobs.toKey(id);
  const newer = { ...(JSON.parse((await queue.redis.hget(key, 'data')) ?? '') as object), version: 2 };
  await queue.redis.hset(key, 'data', JSON.stringify(newer));
  await queue.webhooks.add('send', { version: 2, of: 'a newer release' } as never, { jobId: 'newer' });

  const worker = await deployment.startWorker();
  for (const name of ['jobs', 'webhooks'])
    await worker.waitForLog(({ queue, version, known }) => queue === name && version === 2 && known === 1);
  const other = await deployment.post();
  expect(await deployment.waitFor(other.id, hasEnded)).toMatchObject({ status: 'succeeded' });

  // Put back as it was, with all its tries.
  const record = await queue.jobs.getJob(id);
  expect([await record?.getState(), record?.attemptsMade]).toEqual(['delayed', 0]);
  expect(await queue.redis.hget(key, 'data')).toBe(JSON.stringify(newer));
  expect(await (await queue.webhooks.getJob('newer'))?.getState()).toBe('delayed');

  // The worker that can read it takes it: here the same one, once the payload is its own.
  await queue.redis.hset(key, 'data', JSON.stringify({ ...newer, version: 1 }));
  await record?.promote();
  expect(await deployment.waitFor(id, hasEnded)).toMatchObject({ status: 'succeeded' });
  await queue.close();
  await receiver.close();
});
