import { HeadstartClient } from '@headstart/client';
import { addJob, newJobId } from '@headstart/queue';
import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { expect, inject, it, onTestFinished } from 'vitest';
import { startApi } from '../support/api.js';
import { makeHolder } from '../support/keys.js';
import { makePayload } from '../support/queue.js';
import { startFaultyEndpoint } from '../support/s3-faults.js';
import { MIB, useS3 } from '../support/s3-suite.js';

const { openOwn, target } = useS3();

it('the client downloads from an S3 store, to which it shows no key, and says nothing of the link where that fails', async () => {
  const faulty = await startFaultyEndpoint(target());
  onTestFinished(() => faulty.stop());
  const api = await startApi(inject('redisUrl'), { env: { S3_ENDPOINT: faulty.endpoint } });
  onTestFinished(() => api.close());
  const { store } = openOwn();
  const id = newJobId();
  await addJob(api.queue, id, { ...makePayload(), tenant: 'birds', outputUri: store.uriOf('') }, 500);
  const bytes = randomBytes(3 * MIB);
  await store.write('model/shard 1.bin', bytes);
  const { key } = await makeHolder(api, { tenant: 'birds' });
  const client = new HeadstartClient(await api.app.listen({ host: '127.0.0.1', port: 0 }), { apiKey: key });

  // A store refuses a request that has both a signature and an Authorization header, but only the first is its own.
  const keys: (string | undefined)[] = [];
  faulty.answerWith({ status: 500, to: ({ headers }) => keys.push(headers.authorization) < 0 });
  const { body, sizeBytes } = await client.downloadArtifact(id, 'model/shard 1.bin');
  expect(sizeBytes).toBe(bytes.length);
  expect((await buffer(body)).equals(bytes)).toBe(true);
  expect(keys.filter((shown) => shown?.startsWith('Bearer'))).toEqual([]);
  expect(keys).toContain(undefined);
  const part = await client.downloadArtifact(id, 'model/shard 1.bin', { range: { start: 10, end: 19 } });
  expect(await buffer(part.body)).toEqual(bytes.subarray(10, 20));

  faulty.answerWith({ status: 503, to: ({ method }) => method === 'GET' });
  const error = (await client
    .downloadArtifact(id, 'model/shard 1.bin')
    .catch((thrown: unknown) => thrown)) as Error;
  expect(error).toMatchObject({ code: 'storage_unavailable', retryable: true });
  expect(error.message).toContain('answered 503');
  expect(`${error.message} ${String(error.cause)}`).not.toContain('X-Amz');
});
