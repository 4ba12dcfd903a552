import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { AppError, type ObjectStore } from '@headstart/contracts';
import { downloadTo, hashFile } from '@headstart/storage';
import { expect, onTestFinished, test, vi } from 'vitest';
import { MIB, useS3 } from '../support/s3-suite.js';
import { failureOf, keysOf, listAll } from '../support/storage.js';
import { startTcpProxy } from '../support/tcp-proxy.js';

const { running, connect, openOwn, folder, randomFile, hasUploads, target } = useS3();

test('what is written is read, whatever its name', async () => {
  const { stores, store } = openOwn();
  for (const key of ['a/memory.txt', 'with space+plus%25.txt', 'ünïcode/é.txt', 'q?x=1']) {
    const content = randomBytes(1000);
    expect(await store.write(key, content, { contentType: 'text/plain' })).toBe(true);
    expect(Buffer.from(await store.readBytes(key, 1000)), key).toEqual(content);
    expect(await store.stat(key)).toEqual({ key, sizeBytes: 1000 });
    const located = stores.locate(store.uriOf(key));
    expect(await located.store.stat(located.key)).toMatchObject({ sizeBytes: 1000 });
  }
  await store.write('empty', new Uint8Array());
  expect(await store.readBytes('empty', 0)).toHaveLength(0);
  expect((await failureOf(() => store.readBytes('a/memory.txt', 999))).code).toBe('payload_too_large');
});

test.each(['../outside', 'a/../../x', '..'])('the key %j is refused', async (key) => {
  const { store } = openOwn();
  const calls = [
    () => store.read(key),
    () => store.stat(key),
    () => store.write(key, Buffer.from('x')),
    () => store.copy(key, 'copied'),
    () => store.copy('copied', key),
    () => store.presignGet(key, 60),
    () => store.deleteAll(key),
    () => store.listFolders(key),
  ];
  for (const call of calls) expect((await failureOf(call)).code, String(call)).toBe('uri_forbidden');
});

test('a file of more than 100 MB goes up in parts and comes back the same', async () => {
  const { stores, store } = openOwn();
  const file = await randomFile('large.bin', 105);
  expect(await store.write('large.bin', { file }, { onlyIfAbsent: true })).toBe(true);
  const copy = join(folder(), 'copy.bin');
  const steps: (number | null)[] = [];
  const digest = await downloadTo(stores, store.uriOf('large.bin'), copy, {
    maxBytes: 105 * MIB,
    onProgress: (_, total) => steps.push(total),
  });
  expect(digest).toEqual(await hashFile(file));
  expect(await hashFile(copy)).toEqual(digest);
  expect(steps.at(-1)).toBe(105 * MIB);
  expect(await store.write('large.bin', { file }, { onlyIfAbsent: true })).toBe(false);
  expect(await hasUploads()).toBe(false);
});

test('a range is read alone', async () => {
  const { store } = openOwn();
  const content = randomBytes(MIB);
  await store.write('x', content);
  for (const [start, end] of [
    [0, 0],
    [1000, 499_999],
    [MIB - 10, MIB - 1],
  ] as const) {
    const part = await store.read('x', { range: { start, end } });
    expect(part.sizeBytes).toBe(end - start + 1);
    expect(await buffer(part)).toEqual(content.subarray(start, end + 1));
  }
  const beyond = await failureOf(() => store.read('x', { range: { start: MIB, end: MIB } }));
  expect(beyond).toMatchObject({ code: 'storage_unavailable', retryable: false });
});

test('whoever has a presigned URL can GET that one object, by ranges too, and nothing else', async () => {
  const { store } = openOwn();
  const content = randomBytes(1000);
  await store.write('with space+ü.bin', content, { contentType: 'application/octet-stream' });
  const url = await presigned(store, 'with space+ü.bin');
  expect(new URL(url).searchParams.get('X-Amz-Expires')).toBe('900');
  const whole = await fetch(url);
  expect(whole.status).toBe(200);
  expect(Buffer.from(await whole.arrayBuffer())).toEqual(content);
  const part = await fetch(url, { headers: { range: 'bytes=10-19' } });
  expect([part.status, part.headers.get('content-range')]).toEqual([206, 'bytes 10-19/1000']);
  expect(Buffer.from(await part.arrayBuffer())).toEqual(content.subarray(10, 20));

  expect((await fetch(url, { method: 'DELETE' })).status).toBe(403);
  expect((await fetch(url.replace('X-Amz-Expires=900', 'X-Amz-Expires=9000'))).status).toBe(403);
  await store.write('other.bin', content);
  expect((await fetch(url.replace('with%20space%2B%C3%BC.bin', 'other.bin'))).status).toBe(403);
  expect((await fetch(await presigned(store, 'missing'))).status).toBe(404);
});

test('a presigned URL leads to where clients reach the server', async () => {
  const proxy = await startTcpProxy(target());
  const store = connect('http://127.0.0.1:1', `http://127.0.0.1:${proxy.port}`).open(
    `s3://${running().bucket}/`,
  );
  await openOwn().stores.open(store.uri).write('public.txt', Buffer.from('x'));
  expect(await (await fetch(await presigned(store, 'public.txt'))).text()).toBe('x');
  await proxy.cut();
});

async function presigned(store: ObjectStore, key: string): Promise<string> {
  const url = await store.presignGet(key, 900);
  if (url === null) throw new Error('a store at s3 presigns');
  return url;
}

test('an aborted upload ends with the reason of its signal, and no object', async () => {
  const proxy = await startTcpProxy(target());
  onTestFinished(() => proxy.cut());
  const { store } = openOwn(`http://127.0.0.1:${proxy.port}`);
  const file = await randomFile('aborted.bin', 64);
  const controller = new AbortController();
  const reason = new AppError('canceled', 'enough');
  const writing = store.write('aborted.bin', { file }, { signal: controller.signal });
  await proxy.passed(20 * MIB);
  expect(await hasUploads()).toBe(true);
  controller.abort(reason);
  await expect(writing).rejects.toBe(reason);
  expect(await hasUploads()).toBe(false);
  await expect(store.write('small', randomBytes(10), { signal: controller.signal })).rejects.toBe(reason);
  await expect(store.read('small', { signal: controller.signal })).rejects.toBe(reason);
  expect(await keysOf(store)).toEqual([]);
});

test('more than 1,000 keys are listed, in order, and deleted', async () => {
  const { stores, store } = openOwn();
  const keys = Array.from({ length: 1105 }, (_, index) => `sets/${String(index).padStart(5, '0')}.txt`);
  const waiting = keys.values();
  const writer = async () => {
    for (const key of waiting) await store.write(key, Buffer.from('x'));
  };
  await Promise.all(Array.from({ length: 16 }, writer));
  await store.write('other/a/b.txt', Buffer.from('kept'));
  expect(await listAll(stores.open(store.uriOf('sets')))).toEqual(
    keys.map((key) => ({ key: key.slice('sets/'.length), sizeBytes: 1 })),
  );
  expect(await store.listFolders()).toEqual(['other', 'sets']);
  expect(await store.listFolders('other')).toEqual(['a']);
  await store.deleteAll('sets/');
  expect(await keysOf(store)).toEqual(['other/a/b.txt']);
});

test('a marker of a folder is no object', async () => {
  const { store } = openOwn();
  await store.write('folder/', new Uint8Array());
  await store.write('folder/x', Buffer.from('x'));
  expect(await keysOf(store)).toEqual(['folder/x']);
  expect(await store.listFolders()).toEqual(['folder']);
});

test('of many writers that want to be first, exactly one is', async () => {
  const { store } = openOwn();
  expect(await store.write('first', Buffer.from('1'), { onlyIfAbsent: true })).toBe(true);
  expect(await store.write('first', Buffer.from('2'), { onlyIfAbsent: true })).toBe(false);
  expect(Buffer.from(await store.readBytes('first', 1)).toString()).toBe('1');
  const writers = Array.from({ length: 8 }, (_, index) =>
    store.write('race', Buffer.from([index]), { onlyIfAbsent: true }),
  );
  const won = await Promise.all(writers);
  expect(won.filter(Boolean)).toHaveLength(1);
  expect((await store.readBytes('race', 1))[0]).toBe(won.indexOf(true));
});

test('a missing key, prefix and bucket', async () => {
  const { stores, store } = openOwn();
  expect(await store.stat('missing')).toBeNull();
  expect(await keysOf(store)).toEqual([]);
  expect(await store.listFolders()).toEqual([]);
  await store.deleteAll('missing/');
  const missing = await failureOf(() => store.read('missing'));
  expect(missing).toMatchObject({ code: 'storage_not_found', retryable: false });
  expect(missing.message).toContain(store.uriOf('missing'));

  const nowhere = stores.open('s3://headstart-no-such-bucket/x/');
  const calls = [
    () => keysOf(nowhere),
    () => nowhere.listFolders(),
    () => nowhere.read('x'),
    () => nowhere.write('x', Buffer.from('x')),
  ];
  for (const call of calls) {
    const error = await failureOf(call);
    expect(error.code, String(call)).toBe('storage_not_found');
    expect(error.message).toContain('headstart-no-such-bucket');
  }
});

test.each([
  ['a wrong secret', { AWS_SECRET_ACCESS_KEY: 'wrong-secret' }],
  ['an unknown key', { AWS_ACCESS_KEY_ID: 'UNKNOWNKEY' }],
  ['no credentials', { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined }],
])('%s is storage_forbidden, and no credential shows', async (what, env) => {
  const { secretAccessKey } = running();
  const none = join(folder(), 'no-such-file');
  const settings = {
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_CONFIG_FILE: none,
    AWS_SHARED_CREDENTIALS_FILE: none,
  };
  for (const [name, value] of Object.entries({ ...settings, ...env })) vi.stubEnv(name, value);
  const { store } = openOwn();
  const calls = [
    () => keysOf(store),
    // A HEAD has only a status to say what is wrong, and VersityGW's is 404 for an unknown key.
    ...(what === 'an unknown key' ? [] : [() => store.stat('x')]),
    () => store.read('x'),
    () => store.write('x', Buffer.from('x')),
    () => store.deleteAll('x'),
    ...(what === 'no credentials' ? [() => store.presignGet('x', 900)] : []),
  ];
  for (const call of calls) {
    const error = await failureOf(call);
    expect(error, String(call)).toMatchObject({ code: 'storage_forbidden', retryable: false });
    expect(error.message).toContain(store.uri.slice(0, -1));
    expect(JSON.stringify(error.toJobError())).not.toContain('wrong-secret');
    expect(JSON.stringify(error.toJobError())).not.toContain(secretAccessKey);
  }
});
