import { addJob, cancelJob, newJobId } from '@headstart/queue';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, inject, it, onTestFinished } from 'vitest';
import { startApi } from '../support/api.js';
import { makePayload } from '../support/queue.js';

it('who asks for files of an object store that swallows everything gets an answer', async () => {
  const silent = createServer((socket) => socket.on('error', () => undefined).resume());
  silent.listen(0, '127.0.0.1');
  onTestFinished(() => void silent.close());
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  const api = await startApi(inject('redisUrl'), { env: { S3_ENDPOINT: `http://127.0.0.1:${port}` } });
  onTestFinished(() => api.close());
  const url = await api.app.listen({ host: '127.0.0.1', port: 0 });
  const id = newJobId();
  const { record } = await addJob(api.queue, id, { ...makePayload(), outputUri: `s3://bucket/${id}/` }, 500);
  await cancelJob(api.queue, record);

  const answers = await Promise.all(
    [
      ['GET', '/artifacts'],
      ['GET', '/artifacts/model/model.json'],
      ['DELETE', '?files=true'],
    ].map(async ([method = '', rest = '']) => {
      const answer = await fetch(`${url}/jobs/${id}${rest}`, { method });
      return [answer.status, ((await answer.json()) as { code: string }).code];
    }),
  );
  expect(answers).toEqual(Array(3).fill([503, 'storage_unavailable']));
  expect((await api.ask({ url: `/jobs/${id}` })).status).toBe(200);
});
