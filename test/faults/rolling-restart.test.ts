import type { Job } from '@headstart/contracts';
import { expect, inject, it, onTestFinished } from 'vitest';
import { freePort } from '../../scripts/src/processes.js';
import { hasEnded, smallJob, startDeployment } from '../support/deployment.js';
import { expectEndedOnce } from '../support/endings.js';
import { createPersistentClient } from '../support/persistent-client.js';
import { poll } from '../support/poll.js';
import { answerWith, startReceiver } from '../support/receiver.js';
import type { Service } from '../support/services.js';

const CLIENTS = 3;
const ROUNDS = 2;

it('a restart of every API and worker in turn, under load, loses no job and fails no request for good', async () => {
  const redisUrl = inject('redisUrl');
  const receiver = await startReceiver(answerWith(204));
  onTestFinished(() => receiver.close());
  const deployment = await startDeployment(redisUrl);
  onTestFinished(() => deployment.end());
  const ports = [await freePort(), await freePort()];
  const startApi = (port: number) => deployment.startApi({ API_PORT: String(port) });
  const apis = await Promise.all(ports.map(startApi));
  const workers = await Promise.all([deployment.startWorker(), deployment.startWorker()]);
  const client = createPersistentClient(apis.map(({ url }) => url));

  let isOver = false;
  const ended: Job[] = [];
  const work = async () => {
    while (!isOver) {
      const { id } = await client.post(smallJob(deployment, { webhook: { url: receiver.url } }));
      ended.push(
        await poll(`job ${id}`, async () => {
          const job = await client.get(id);
          return hasEnded(job) ? job : null;
        }),
      );
    }
  };
  const load = Promise.all(Array.from({ length: CLIENTS }, work));
  const underLoad = async () => {
    const before = ended.length;
    await poll('jobs to go on ending', () => (ended.length >= before + CLIENTS ? true : null));
  };
  const restart = async <T extends Service>(services: T[], i: number, start: () => Promise<T>) => {
    services[i]!.signal('SIGTERM');
    expect(await services[i]!.ended).toEqual({ code: 0, signal: null });
    services[i] = await start();
    await underLoad();
  };
  const restartAll = async () => {
    await underLoad();
    for (let round = 0; round < ROUNDS; round++) {
      for (const [i, port] of ports.entries()) await restart(apis, i, () => startApi(port));
      for (const i of workers.keys()) await restart(workers, i, () => deployment.startWorker());
    }
    isOver = true;
  };
  await Promise.all([load, restartAll()]);

  console.log(
    `${ended.length} jobs; requests that were tried again: ${JSON.stringify(Object.fromEntries(client.retries))}`,
  );
  for (const why of client.retries.keys()) expect(why).not.toContain('not as Headstart does');
  for (const job of ended) expect(job).toMatchObject({ status: 'succeeded', error: null });
  await expectEndedOnce(ended, { redisUrl, prefix: deployment.queuePrefix, receiver });
  const ids: string[] = [];
  for await (const { id } of deployment.client.eachJob()) ids.push(id);
  expect(ids.sort()).toEqual(ended.map(({ id }) => id).sort());
}, 300_000);
