import { Manifest } from '@headstart/contracts';
import { expect, inject, it, onTestFinished } from 'vitest';
import { hasEnded, startDeployment } from '../support/deployment.js';
import { useS3 } from '../support/s3-suite.js';
import { startTcpProxy } from '../support/tcp-proxy.js';

const { running, connect, target } = useS3();
const INTERVAL_SECONDS = 5;

it('a job trains on while its object store is away, says so within an interval, and does not end without its files', async () => {
  const deployment = await startDeployment(inject('redisUrl'));
  onTestFinished(() => deployment.end());
  const proxy = await startTcpProxy(target());
  onTestFinished(() => proxy.cut());
  const { bucket } = running();
  await deployment.startWorker({ S3_ENDPOINT: `http://127.0.0.1:${proxy.port}` });
  const { id } = await deployment.post({
    output: { uri: `s3://${bucket}/outage/` },
    training: { epochs: 1000, checkpointEverySeconds: INTERVAL_SECONDS },
  });
  await deployment.waitFor(id, ({ checkpoint }) => (checkpoint?.epoch ?? 0) >= 1);
  await proxy.cut();
  const failing = await deployment.waitFor(
    id,
    ({ checkpointError }) => checkpointError !== null,
    INTERVAL_SECONDS * 1000,
  );
  expect(failing).toMatchObject({ status: 'running', checkpointError: { code: 'storage_unavailable' } });

  const trained = await deployment.waitFor(id, ({ phase }) => phase === 'upload');
  expect(trained.metrics).toHaveLength(1000);
  expect(trained).toMatchObject({ status: 'running', checkpointError: { code: 'storage_unavailable' } });
  expect(trained.checkpoint?.epoch).toBe(failing.checkpoint?.epoch);

  await proxy.restore();
  const job = await deployment.waitFor(id, hasEnded);
  expect(job).toMatchObject({ status: 'succeeded', attempts: 1, checkpointError: null });
  expect(job.checkpoint).toMatchObject({ epoch: 1000, step: 0 });
  // One line for the outage, whatever it took of tries.
  expect(await deployment.warningsOf(id)).toEqual([
    {
      at: expect.any(String) as string,
      level: 'warn',
      message: 'a checkpoint is not in the object store yet',
      fields: { code: 'storage_unavailable', detail: expect.any(String) as string },
    },
  ]);
  const store = connect().open(job.artifacts!.uri);
  const manifest = Manifest.parse(
    JSON.parse(Buffer.from(await store.readBytes('manifest.json', 1e6)).toString()),
  );
  for (const { path, sizeBytes } of manifest.files)
    expect(await store.stat(path)).toMatchObject({ sizeBytes });
});
