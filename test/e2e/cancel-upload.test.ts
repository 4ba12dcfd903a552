import type { IncomingMessage } from 'node:http';
import type { Job, ObjectStores } from '@headstart/contracts';
import { expect, inject, it, onTestFinished } from 'vitest';
import { type Deployment, hasEnded, startDeployment } from '../support/deployment.js';
import { poll } from '../support/poll.js';
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
    await deployment.startWorker();
    const { id } = await deployment.post({ output: { uri: store.uriOf('') }, training });
    const endFault = await stretch(faulty, deployment, id);
    const next = await deployment.post();

    await deployment.client.cancelJob(id);
    const job = await deployment.waitFor(id, hasEnded, 5000);
    expect(job).toMatchObject({ status: 'canceled', attempts: 1, error: { code: 'canceled' } });
    expect(await deployment.waitFor(next.id, hasEnded)).toMatchObject({ status: 'succeeded' });

    endFault();
    await expectCheckpoints(job, stores);
    expect(await store.stat(`${id}/manifest.json`)).toBeNull();
  },
);

/** The job says where its newest and its best checkpoint are, and there they are. */
async function expectCheckpoints({ error, checkpoint }: Job, stores: ObjectStores): Promise<void> {
  const { lastCheckpointUri, bestCheckpointUri } = error?.details ?? {};
  expect(lastCheckpointUri).toBe(checkpoint?.uri);
  for (const uri of [lastCheckpointUri, bestCheckpointUri])
    expect(await stores.open(String(uri)).stat('checkpoint.json')).not.toBeNull();
}
