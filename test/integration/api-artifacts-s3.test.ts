import { addJob, newJobId } from '@headstart/queue';
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, inject, it } from 'vitest';
import { startApi, type TestApi } from '../support/api.js';
import { makePayload } from '../support/queue.js';
import { useS3 } from '../support/s3-suite.js';

const { running, openOwn } = useS3();
const FIFTEEN_MINUTES_MS = 15 * 60_000;

let api: TestApi;
let id: string;
let store: ReturnType<typeof openOwn>['store'];

beforeEach(async () => {
  store = openOwn().store;
  api = await startApi(inject('redisUrl'), { env: { S3_ENDPOINT: running().endpoint } });
  id = newJobId();
  await addJob(api.queue, id, { ...makePayload(), outputUri: store.uriOf('') }, 500);
});
afterEach(() => api.close());

const list = () => api.ask({ url: `/jobs/${id}/artifacts` });

it('lists the files in an S3 store with links that need no credentials', async () => {
  const files = {
    'labels.json': '{"a":1}',
    'model/model.json': '{}',
    'with space+ü%.bin': randomBytes(1000),
  };
  for (const [path, content] of Object.entries(files)) await store.write(path, Buffer.from(content));
  const before = Date.now();
  const { status, body } = await list();
  const after = Date.now();
  expect(status).toBe(200);
  const artifacts = body['artifacts'] as Record<'path' | 'url' | 'expiresAt', string>[];
  expect(artifacts.map(({ path }) => path).toSorted()).toEqual(Object.keys(files).toSorted());
  for (const { path, url, expiresAt } of artifacts) {
    const expected = Buffer.from(files[path as keyof typeof files]);
    expect(Buffer.from(await (await fetch(url)).arrayBuffer()), path).toEqual(expected);
    expect(new URL(url).searchParams.get('X-Amz-Expires')).toBe('900');
    expect(Date.parse(expiresAt)).toBeGreaterThanOrEqual(before + FIFTEEN_MINUTES_MS);
    expect(Date.parse(expiresAt)).toBeLessThanOrEqual(after + FIFTEEN_MINUTES_MS);
    const forged = new URL(url);
    forged.pathname = forged.pathname.replace(/[^/]+$/, 'other');
    expect((await fetch(forged)).status).toBe(403);
  }
});

it('leads to the file, whole or in part', async () => {
  await store.write('model/model.json', Buffer.from('{"a":1}'));
  const url = `/jobs/${id}/artifacts/model/model.json`;
  const answer = await api.ask({ url });
  expect(answer.status).toBe(307);
  const location = String(answer.headers['location']);
  expect(await (await fetch(location)).text()).toBe('{"a":1}');
  const part = await fetch(location, { headers: { range: 'bytes=1-3' } });
  expect([part.status, await part.text()]).toEqual([206, '"a"']);
  expect(JSON.stringify(api.log)).not.toContain('X-Amz-Signature');

  // As clients do it that follow by themselves.
  const base = await api.app.listen({ host: '127.0.0.1', port: 0 });
  const followed = await fetch(`${base}${url}`, { headers: { range: 'bytes=-2' } });
  expect([followed.status, followed.redirected, await followed.text()]).toEqual([206, true, '1}']);
});

it('answers for itself where there is no such file, no file yet, or no bucket', async () => {
  expect((await list()).body).toEqual({ artifacts: [] });
  expect(await api.ask({ url: `/jobs/${id}/artifacts/model/model.json` })).toMatchObject({
    status: 404,
    body: { code: 'storage_not_found' },
  });
  const lost = newJobId();
  await addJob(api.queue, lost, { ...makePayload(), outputUri: 's3://no-such-bucket/a/' }, 500);
  expect(await api.ask({ url: `/jobs/${lost}/artifacts/labels.json` })).toMatchObject({
    status: 404,
    body: { code: 'storage_not_found' },
  });
});

it("leads to nothing outside the job's folder", async () => {
  const above = openOwn().stores.open(store.uri.replace(/[^/]+\/$/, ''));
  await above.write('theirs.txt', Buffer.from('secret'));
  const folder = store.uri.split('/').at(-2);
  for (const path of [
    '..%2Ftheirs.txt',
    'model%2F..%2F..%2Ftheirs.txt',
    `.%2F..%2F${folder}%2F..%2Ftheirs.txt`,
  ]) {
    const answer = await api.ask({ url: `/jobs/${id}/artifacts/${path}` });
    expect([path, answer.status, answer.body['code']]).toEqual([path, 403, 'uri_forbidden']);
  }
  await above.deleteAll('theirs.txt');
});
