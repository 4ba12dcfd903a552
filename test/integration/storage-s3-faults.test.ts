import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { ObjectStore } from '@headstart/contracts';
import { downloadTo, hashFile, type Stores } from '@headstart/storage';
import { expect, onTestFinished, test, vi } from 'vitest';
import { startFaultyEndpoint, type Fault } from '../support/s3-faults.js';
import { MIB, useS3 } from '../support/s3-suite.js';
import { failureOf, keysOf } from '../support/storage.js';
import { startTcpProxy } from '../support/tcp-proxy.js';

const { running, openOwn, folder, randomFile, hasUploads, target } = useS3();
const UNAVAILABLE = { code: 'storage_unavailable', retryable: true };

/** Everything that a store does over the network. */
function callsOn(store: ObjectStore, file: string): (() => Promise<unknown>)[] {
  return [
    () => keysOf(store),
    () => store.stat('x'),
    () => store.read('x'),
    () => store.write('y', Buffer.from('y')),
    () => store.write('y', { file }),
    () => store.deleteAll(''),
  ];
}

async function downloaded(stores: Stores, store: ObjectStore, key: string) {
  return downloadTo(stores, store.uriOf(key), join(folder(), 'copy'), { maxBytes: 1e9 });
}

async function openFaulty() {
  const faulty = await startFaultyEndpoint(target());
  onTestFinished(() => faulty.stop());
  return { faulty, ...openOwn(faulty.endpoint) };
}

async function openBehindProxy() {
  const proxy = await startTcpProxy(target());
  onTestFinished(() => proxy.cut());
  return { proxy, ...openOwn(`http://127.0.0.1:${proxy.port}`) };
}

test('a server that is away is storage_unavailable, and usable again when it is back', async () => {
  const { proxy, store } = await openBehindProxy();
  await store.write('x', Buffer.from('x'));
  await proxy.cut();
  for (const call of callsOn(store, await randomFile('away.bin', 20)))
    expect(await failureOf(call), String(call)).toMatchObject(UNAVAILABLE);
  await proxy.restore();
  expect(await keysOf(store)).toEqual(['x']);
});

test('a server that is killed in the middle of an upload has no half of it when it is back', async () => {
  const { proxy, stores, store } = await openBehindProxy();
  await store.write('before', Buffer.from('kept'));
  const file = await randomFile('interrupted.bin', 105);
  const writing = failureOf(() => store.write('interrupted.bin', { file }));
  await proxy.passed(20 * MIB);
  await running().kill();
  const error = await writing;
  expect(error).toMatchObject(UNAVAILABLE);
  expect(error.message).toContain(store.uriOf('interrupted.bin'));
  expect(await failureOf(() => store.read('before'))).toMatchObject(UNAVAILABLE);

  await running().restart();
  expect(await keysOf(store)).toEqual(['before']);
  expect(await store.stat('interrupted.bin')).toBeNull();
  expect(await store.write('interrupted.bin', { file }, { onlyIfAbsent: true })).toBe(true);
  expect(await downloaded(stores, store, 'interrupted.bin')).toEqual(await hashFile(file));
  expect(Buffer.from(await store.readBytes('before', 4)).toString()).toBe('kept');
});

const ANSWERS: Fault[] = [
  { status: 500, code: 'InternalError' },
  { status: 503, code: 'SlowDown' },
];

test.each(ANSWERS)('$status $code twice is not noticed', async (answer) => {
  const { faulty, store } = await openFaulty();
  await store.write('x', Buffer.from('x'));
  for (const call of callsOn(store, await randomFile('small.bin', 1))) {
    faulty.answerWith({ ...answer, times: 2 });
    await call();
    expect(faulty.faults, String(call)).toBe(2);
  }
  faulty.answerWith(null);
  expect(await keysOf(store)).toEqual([]);
});

test.each(ANSWERS)('$status $code every time is storage_unavailable, and leaves nothing', async (answer) => {
  const { faulty, store } = await openFaulty();
  await store.write('x', Buffer.from('x'));
  faulty.answerWith(answer);
  for (const call of callsOn(store, await randomFile('small.bin', 1))) {
    const error = await failureOf(call);
    expect(error, String(call)).toMatchObject(UNAVAILABLE);
    expect(error.message).toContain('Try again.');
  }
  faulty.answerWith(null);
  expect(await keysOf(store)).toEqual(['x']);
});

test.each<[string, Fault['to']]>([
  ['its start', ({ method, url }) => method === 'POST' && url!.includes('uploads')],
  ['a part', ({ url }) => url!.includes('partNumber=2')],
  ['its end', ({ method, url }) => method === 'POST' && url!.includes('uploadId')],
])('an upload in parts arrives whole although %s is answered with 503 and 500', async (_, to) => {
  const { faulty, stores, store } = await openFaulty();
  const file = await randomFile('parts.bin', 40);
  for (const answer of ANSWERS) {
    faulty.answerWith({ ...answer, to: to!, times: 2 });
    expect(await store.write('parts.bin', { file })).toBe(true);
    expect(faulty.faults).toBe(2);
    expect(await downloaded(stores, store, 'parts.bin')).toEqual(await hashFile(file));
  }
});

test('a refusal without a body says its status', async () => {
  const { faulty, store } = await openFaulty();
  faulty.answerWith({ status: 403, code: 'InvalidAccessKeyId' });
  const error = await failureOf(() => store.stat('x'));
  expect(error).toMatchObject({ code: 'storage_forbidden', retryable: false });
  expect(error.message).toContain('(status 403)');
});

test('an upload whose part is refused every time leaves no parts behind', async () => {
  const { faulty, store } = await openFaulty();
  const uploadsBefore = await hasUploads();
  faulty.answerWith({ ...ANSWERS[1]!, to: ({ url }) => url!.includes('partNumber=3') });
  const file = await randomFile('refused.bin', 40);
  expect(await failureOf(() => store.write('refused.bin', { file }))).toMatchObject(UNAVAILABLE);
  expect(await keysOf(store)).toEqual([]);
  expect(await hasUploads()).toBe(uploadsBefore);
});

test('an upload goes on over connections that are reset in the middle', async () => {
  const { proxy, stores, store } = await openBehindProxy();
  const file = await randomFile('reset.bin', 64);
  const writing = store.write('reset.bin', { file });
  await proxy.passed(20 * MIB);
  proxy.reset();
  expect(await writing).toBe(true);
  expect(await downloaded(stores, store, 'reset.bin')).toEqual(await hashFile(file));
});

test.each(['cut', 'reset'] as const)(
  'a connection that breaks in the middle of an object (%s) is an error, and leaves no file',
  async (fault) => {
    const { proxy, stores, store } = await openBehindProxy();
    await store.write('broken.bin', { file: await randomFile('broken.bin', 40) });
    const cache = await mkdtemp(join(folder(), 'cache-'));
    let broken: Promise<void> | undefined;
    const download = downloadTo(stores, store.uriOf('broken.bin'), join(cache, 'x'), {
      maxBytes: 1e9,
      onProgress: () => {
        broken ??= Promise.resolve(proxy[fault]());
      },
    });
    const error = await failureOf(() => download);
    expect(error).toMatchObject(UNAVAILABLE);
    expect(error.message).toMatch(/broke off after \d+ of 41943040 bytes/);
    expect(await readdir(cache)).toEqual([]);
    await broken;
  },
);

/** Time that only goes on where the test says so. */
function stopClock(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
}

/** An object of five pieces, each of which the server sends only after `sendNext`. */
async function openSlow() {
  const { faulty, store } = await openFaulty();
  const content = randomBytes(5 * MIB);
  await store.write('slow.bin', content);
  let sendNext = (): void => undefined;
  faulty.passBodies(async function* (body) {
    const whole = await buffer(body);
    for (let start = 0; start < whole.length; start += MIB) {
      const asked = new Promise<void>((resolve) => (sendNext = resolve));
      yield whole.subarray(start, start + MIB);
      await asked;
    }
  });
  stopClock();
  return { content, source: await store.read('slow.bin'), sendNext: () => sendNext() };
}

test('an object that comes slowly comes whole, however long it takes', async () => {
  const { content, source, sendNext } = await openSlow();
  const parts: Buffer[] = [];
  let received = 0;
  for await (const part of source as AsyncIterable<Buffer>) {
    parts.push(part);
    received += part.length;
    if (received % MIB > 0) continue;
    vi.advanceTimersByTime(29_000);
    sendNext();
  }
  expect(Buffer.concat(parts).equals(content)).toBe(true);
});

test('an object that stops coming is given up after 30 s', async () => {
  const { source } = await openSlow();
  let received = 0;
  const error = await failureOf(async () => {
    for await (const part of source as AsyncIterable<Buffer>) {
      received += part.length;
      if (received === MIB) setImmediate(() => vi.advanceTimersByTime(30_000));
    }
  });
  expect(error).toMatchObject(UNAVAILABLE);
  expect(error.message).toContain(`broke off after ${MIB} of ${5 * MIB} bytes: nothing came for 30 s`);
});

test('a reader may take its time', async () => {
  const { store } = openOwn();
  const content = randomBytes(16 * MIB);
  await store.write('unread.bin', content);
  stopClock();
  const source = await store.read('unread.bin');
  await once(source, 'readable');
  vi.advanceTimersByTime(3_600_000);
  expect((await buffer(source)).equals(content)).toBe(true);
});
