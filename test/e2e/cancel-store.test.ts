import type { IncomingMessage } from 'node:http';
import type { Job, ObjectStores } from '@headstart/contracts';
import { expect, inject, it, onTestFinished } from 'vitest';
import { type Deployment, hasEnded, startDeployment } from '../support/deployment.js';
import { expectEndedOnce } from '../support/endings.js';
import { poll } from '../support/poll.js';
import { answerWith, startReceiver } from '../support/receiver.js';
import { type FaultyEndpoint, startFaultyEndpoint } from '../support/s3-faults.js';
import { useS3 } from '../support/s3-suite.js';

const { openOwn, target } = useS3();

const puts =
  (part: string) =>
  ({ method, url = '' }: IncomingMessage) =>
    method === 'PUT' && url.includes(part);

interface Upload {
  name: string;
  training?: { epochs: number };
  /** Has the upload last, and resolves when the job is in the middle of it. @returns what ends the fault. */
  stretch(faulty: FaultyEndpoint, deployment: Deployment, id: string): Promise<() => void>;
}

const UPLOADS: Upload[] = [
  {
    name: 'goes slowly',
    async stretch(faulty) {
      faulty.answerWith({ status: 'slow', to: puts('/model/') });
      await poll('the slow upload', () => faulty.faults || null);
      return () => faulty.answerWith(null);
    },
  },
  {
    name: 'gets no answer',
    async stretch(faulty) {
      const held = faulty.hold(puts('/model/'));
      await held.reached;
      return held.open;
    },
  },
  {
    name: 'waits for its last checkpoint, which the store refuses',
    training: { epochs: 400 },
    async stretch(faulty, deployment, id) {
      await deployment.waitFor(id, ({ checkpoint }) => (checkpoint?.epoch ?? 0) >= 1);
      faulty.answerWith({ status: 503, code: 'SlowDown', to: puts('/checkpoints/') });
      await deployment.waitFor(
        id,
        ({ phase, checkpointError }) => phase === 'upload' && checkpointError !== null,
      );
      return () => faulty.answerWith(null);
    },
  },
];

it.each(UPLOADS)(
  'a job whose upload $name is canceled within five seconds, keeps its checkpoints, and lets the next one start',
  async ({ stretch, training = { epochs: 3 } }) => {
    const faulty = await startFaultyEndpoint(target());
    onTestFinished(() => faulty.stop());
    const { store, stores } = openOwn();
    const deployment = await startDeployment(inject('redisUrl'), { S3_ENDPOINT: faulty.endpoint });
    onTestFinished(() => deployment.end());
    const receiver = await startReceiver(answerWith(204));
    onTestFinished(() => receiver.close());
    await deployment.startWorker();
    const webhook = { url: receiver.url };
    const { id } = await deployment.post({ output: { uri: store.uriOf('') }, training, webhook });
    const endFault = await stretch(faulty, deployment, id);
    const next = await deployment.post({ webhook });

    await deployment.client.cancelJob(id);
    const job = await deployment.waitFor(id, hasEnded, 5000);
    expect(job).toMatchObject({ status: 'canceled', attempts: 1, error: { code: 'canceled' } });
    const after = await deployment.waitFor(next.id, hasEnded);
    expect(after).toMatchObject({ status: 'succeeded' });
    const { queuePrefix: prefix } = deployment;
    await expectEndedOnce([job, after], { redisUrl: inject('redisUrl'), prefix, receiver });

    endFault();
    await expectCheckpoints(job, stores);
    expect(await store.stat(`${id}/manifest.json`)).toBeNull();
  },
);

it('a job whose store answers nothing from its start on is canceled within five seconds', async () => {
  const faulty = await startFaultyEndpoint(target());
  onTestFinished(() => faulty.stop());
  const deployment = await startDeployment(inject('redisUrl'), { S3_ENDPOINT: faulty.endpoint });
  onTestFinished(() => deployment.end());
  const receiver = await startReceiver(answerWith(204));
  onTestFinished(() => receiver.close());
  const held = faulty.hold(() => true);
  await deployment.startWorker();
  const webhook = { url: receiver.url };
  const { id } = await deployment.post({ output: { uri: openOwn().store.uriOf('') }, webhook });
  await held.reached;
  const next = await deployment.post({ webhook });
  await deployment.client.cancelJob(id);
  const job = await deployment.waitFor(id, hasEnded, 5000);
  expect(job).toMatchObject({ status: 'canceled', attempts: 1 });
  const after = await deployment.waitFor(next.id, hasEnded);
  expect(after).toMatchObject({ status: 'succeeded' });
  const { queuePrefix: prefix } = deployment;
  await expectEndedOnce([job, after], { redisUrl: inject('redisUrl'), prefix, receiver });
});

/** The job says where its newest and its best checkpoint are, and there they are. */
async function expectCheckpoints({ error, checkpoint }: Job, stores: ObjectStores): Promise<void> {
  const { lastCheckpointUri, bestCheckpointUri } = error?.details ?? {};
  expect(lastCheckpointUri).toBe(checkpoint?.uri);
  for (const uri of [lastCheckpointUri, bestCheckpointUri])
    expect(await stores.open(String(uri)).stat('checkpoint.json')).not.toBeNull();
}
