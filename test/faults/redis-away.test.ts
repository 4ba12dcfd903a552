import type { ServerResponse } from 'node:http';
import { expect, inject, it, onTestFinished } from 'vitest';
import { hasEnded, startDeployment } from '../support/deployment.js';
import { expectEndedOnce } from '../support/endings.js';
import { poll } from '../support/poll.js';
import { answerWith, startReceiver } from '../support/receiver.js';
import { startFaultyEndpoint } from '../support/s3-faults.js';
import { useS3 } from '../support/s3-suite.js';
import { makeStoreJob, STORE_PHASES } from '../support/store-job.js';
import { startTcpProxy } from '../support/tcp-proxy.js';

const { running, openOwn, target } = useS3();
const LOCK_MS = 1000;

/** An API and a worker whose Redis can be cut off, and whose object store holds a job back where the test wants. */
async function setUp(answer: (response: ServerResponse) => void) {
  const { endpoint, bucket } = running();
  const { hostname, port } = new URL(inject('redisUrl'));
  const redis = await startTcpProxy({ host: hostname, port: Number(port) });
  onTestFinished(() => redis.cut());
  const faulty = await startFaultyEndpoint(target());
  onTestFinished(() => faulty.stop());
  const receiver = await startReceiver(answer);
  onTestFinished(() => receiver.close());
  const deployment = await startDeployment(`redis://127.0.0.1:${redis.port}`, { S3_ENDPOINT: endpoint });
  onTestFinished(() => deployment.end());
  const worker = await deployment.startWorker({
    S3_ENDPOINT: faulty.endpoint,
    FEATURE_CACHE_URI: `s3://${bucket}/feature-cache/`,
    LOCK_DURATION_MS: String(LOCK_MS),
  });
  const { store } = openOwn();
  const ended = { redisUrl: inject('redisUrl'), prefix: deployment.queuePrefix, receiver };
  return {
    deployment,
    store,
    redis,
    faulty,
    receiver,
    worker,
    ended,
    /** Cuts Redis off, and waits until the worker knows. */
    async cut() {
      const before = outages().length;
      await redis.cut();
      await poll('the worker to miss Redis', () => (outages().length > before ? true : null));
    },
    async restore() {
      await redis.restore();
      await poll('the API to be ready', async () =>
        (await fetch(`${deployment.api.url}/readyz`)).ok ? true : null,
      );
    },
  };

  function outages() {
    return worker.logs.filter(({ msg }) => msg.startsWith('Redis does not answer'));
  }
}

it.each(STORE_PHASES)(
  'a job that is at %s when Redis goes, and one behind it, end all the same',
  async (phase) => {
    const { deployment, store, faulty, receiver, ended, cut, restore } = await setUp(answerWith(204));
    const [job, behind] = [await makeStoreJob(store, 'job'), await makeStoreJob(store, 'behind')];
    const held = faulty.hold((request) => job.isOf(phase, request));
    const webhook = { url: receiver.url };
    const { id } = await deployment.post({ ...job.request, webhook });
    const { id: idBehind } = await deployment.post({ ...behind.request, webhook });
    await held.reached;
    await cut();
    held.open();
    await poll('the job to be published without Redis', async () =>
      (await store.stat(`job/jobs/${id}/manifest.json`)) === null ? null : true,
    );
    await restore();
    const jobs = [await deployment.waitFor(id, hasEnded), await deployment.waitFor(idBehind, hasEnded)];
    console.log(
      `${phase}: ${jobs.map(({ status, attempts }) => `${status} after ${attempts} attempts`).join()}`,
    );
    for (const one of jobs) expect(one).toMatchObject({ status: 'succeeded', error: null });
    await expectEndedOnce(jobs, ended);
  },
);

it('a webhook that is under way when Redis goes has one id, however often it is sent', async () => {
  let arrive: (response: ServerResponse) => void;
  const arrived = new Promise<ServerResponse>((resolve) => (arrive = resolve));
  const { deployment, store, receiver, worker, ended, cut, restore } = await setUp((response) => {
    if (receiver.received.length > 1) response.writeHead(204).end();
    else arrive(response);
  });
  const { request } = await makeStoreJob(store, 'job');
  const { id } = await deployment.post({ ...request, webhook: { url: receiver.url } });
  const response = await arrived;
  const job = await deployment.waitFor(id, hasEnded);
  await cut();
  response.writeHead(204).end();
  await worker.waitForLog(({ msg }) => msg === 'webhook delivered');
  await restore();
  expect(job).toMatchObject({ status: 'succeeded', attempts: 1 });
  await expectEndedOnce([job], ended);
});
