import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { AppError, type ErrorCode } from '@headstart/contracts';
import { downloadTo } from '@headstart/storage';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { startHttps, type HttpsServer } from '../../support/https-server.js';
import { failureOf, fileSandbox, listAll } from '../../support/storage.js';

const CONTENT = Buffer.from('0123456789'.repeat(20_000));
const PIECE = CONTENT.subarray(0, 1000);

type Route = (response: ServerResponse, request: IncomingMessage) => void;

/** Sends one piece of an answer and cuts the connection once that has gone out. */
const cutAfter =
  (headers: Record<string, string>): Route =>
  (response) => {
    response.writeHead(200, headers);
    response.write(PIECE, () => response.socket?.end());
  };

const ROUTES: Record<string, Route> = {
  '/set.zip': (response) => response.setHeader('content-length', CONTENT.length).end(CONTENT),
  '/unsized': (response) => {
    response.write(PIECE);
    response.end(CONTENT.subarray(PIECE.length));
  },
  '/signed.zip': (response, { url }) =>
    response.writeHead(url?.endsWith('?token=secret') ? 200 : 403).end('ok'),
  '/cut': cutAfter({ 'content-length': String(CONTENT.length) }),
  '/cut-unsized': cutAfter({ 'transfer-encoding': 'chunked' }),
  '/moved': (response) => response.writeHead(302, { location: '/elsewhere/set.zip?token=secret' }).end(),
  '/elsewhere/set.zip': (response) => response.writeHead(308, { location: '../set.zip' }).end(),
  '/inside': (response) =>
    response.writeHead(302, { location: 'https://169.254.169.254/?token=secret' }).end(),
  '/inside-hex': (response) =>
    response.writeHead(301, { location: 'https://0xa9fea9fe/?token=secret' }).end(),
  '/plain': (response) => response.writeHead(302, { location: 'http://127.0.0.1/?token=secret' }).end(),
  '/file': (response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
  '/credentials': (response) => response.writeHead(302, { location: 'https://u:secret@localhost/' }).end(),
  '/nowhere': (response) => response.writeHead(302).end(),
  '/round': (response) => response.writeHead(307, { location: '/round' }).end(),
  '/private': (response) => response.writeHead(403).end('body secret'),
  '/broken': (response) => response.writeHead(503, { 'x-token': 'secret' }).end('body secret'),
  '/teapot': (response) => response.writeHead(418).end('body secret'),
  '/drop': (response) => void response.socket?.destroy(),
  '/switch': (response) =>
    void response.socket?.write(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
    ),
  '/stall': (response) => void response.writeHead(200, { 'content-length': '10' }).write('12345'),
};

let server: HttpsServer | { skip: string };

beforeAll(async () => {
  server = await startHttps((request, response) => {
    const route = ROUTES[request.url?.split('?')[0] ?? ''];
    if (route) route(response, request);
    else response.writeHead(404).end();
  });
});

afterAll(async () => {
  if ('stop' in server) await server.stop();
});

beforeEach(({ skip }) => {
  if ('skip' in server) return skip(server.skip);
  server.trust();
});

const origin = () => ('origin' in server ? server.origin : '');

test('an object is read whole, and its size known', async () => {
  const { stores } = await fileSandbox();
  const { store, key } = stores.locate(`${origin()}/set.zip`);
  expect(key).toBe('set.zip');
  expect(await store.stat(key)).toEqual({ key, sizeBytes: CONTENT.length });
  expect((await store.read(key)).sizeBytes).toBe(CONTENT.length);
  expect(Buffer.from(await store.readBytes(key, CONTENT.length))).toEqual(CONTENT);
  expect(await store.stat('missing')).toBeNull();
  expect((await failureOf(() => store.readBytes(key, CONTENT.length - 1))).code).toBe('payload_too_large');

  const inRanges = await failureOf(() => store.read(key, { range: { start: 0, end: 9 } }));
  expect(inRanges.code).toBe('uri_forbidden');
  expect(await store.presignGet(key, 900)).toBeNull();
});

test('a download is hashed, and its progress told with and without an announced size', async () => {
  const { folder, stores } = await fileSandbox();
  const sha256 = createHash('sha256').update(CONTENT).digest('hex');
  for (const [path, total] of [['/set.zip', CONTENT.length] as const, ['/unsized', null] as const]) {
    const steps: [number, number | null][] = [];
    const file = join(folder, 'cache', path);
    const digest = await downloadTo(stores, `${origin()}${path}`, file, {
      maxBytes: CONTENT.length,
      onProgress: (done, all) => steps.push([done, all]),
    });
    expect(digest).toEqual({ sizeBytes: CONTENT.length, sha256 });
    expect(await readFile(file)).toEqual(CONTENT);
    expect(steps.at(-1)).toEqual([CONTENT.length, total]);
  }
});

test.each(['/set.zip', '/unsized'])('a download of %s beyond its limit leaves nothing', async (path) => {
  const { folder, stores } = await fileSandbox();
  const limit = { maxBytes: CONTENT.length - 1 };
  const error = await failureOf(() => downloadTo(stores, `${origin()}${path}`, join(folder, 'x'), limit));
  expect(error.code).toBe('payload_too_large');
  expect(error.message).toContain(`at most ${limit.maxBytes}`);
  expect(await readdir(folder)).toEqual(['data']);
});

test.each(['/cut', '/cut-unsized'])('%s breaks off: an error, and no file', async (path) => {
  const { folder, stores } = await fileSandbox();
  const { store, key } = stores.locate(`${origin()}${path}`);
  await expect((await store.read(key)).toArray()).rejects.toMatchObject({ code: 'storage_unavailable' });
  const limit = { maxBytes: 1e9 };
  const error = await failureOf(() => downloadTo(stores, `${origin()}${path}`, join(folder, 'x'), limit));
  expect(error).toMatchObject({ code: 'storage_unavailable', retryable: true });
  expect(error.message).toContain('broke off after 1000');
  expect(await readdir(folder)).toEqual(['data']);
});

test('a reader that comes after an object broke off learns of it', async () => {
  const { stores } = await fileSandbox();
  const { store, key } = stores.locate(`${origin()}/cut`);
  const stream = await store.read(key);
  await new Promise((resolve) => stream.on('close', resolve));
  await expect(stream.toArray()).rejects.toMatchObject({ code: 'storage_unavailable' });
});

test('an aborted download ends with the reason of its signal and leaves nothing', async () => {
  const { folder, stores } = await fileSandbox();
  const controller = new AbortController();
  const reason = new AppError('canceled', 'enough');
  const download = downloadTo(stores, `${origin()}/stall`, join(folder, 'x'), {
    maxBytes: 100,
    signal: controller.signal,
    onProgress: () => controller.abort(reason),
  });
  await expect(download).rejects.toBe(reason);
  expect(await readdir(folder)).toEqual(['data']);
});

test.each<[string, ErrorCode, boolean]>([
  ['/missing', 'storage_not_found', false],
  ['/private', 'storage_forbidden', false],
  ['/signed.zip?token=secre', 'storage_forbidden', false],
  ['/broken', 'storage_unavailable', true],
  ['/teapot', 'storage_unavailable', false],
  ['/drop', 'storage_unavailable', true],
  ['/switch', 'storage_unavailable', true],
  ['/plain?token=secret', 'uri_forbidden', false],
  ['/file', 'uri_forbidden', false],
  ['/credentials', 'uri_forbidden', false],
  ['/nowhere', 'uri_forbidden', false],
  ['/round', 'uri_forbidden', false],
])('%s is %s', async (path, code, retryable) => {
  const { stores } = await fileSandbox();
  const { store, key } = stores.locate(`${origin()}${path}`);
  const error = await failureOf(() => store.read(key));
  expect(error).toMatchObject({ code, retryable });
  expect(error.message).toContain(`${origin()}${path.split('?')[0]}`);
  // Neither a query of the URL nor anything of the answer.
  expect(JSON.stringify(error.toJobError())).not.toContain('secre');
});

test('a redirect is followed', async () => {
  const { stores } = await fileSandbox();
  const { store, key } = stores.locate(`${origin()}/moved`);
  expect(await store.stat(key)).toEqual({ key, sizeBytes: CONTENT.length });
  expect(Buffer.from(await store.readBytes(key, CONTENT.length))).toEqual(CONTENT);
});

test.each(['/inside', '/inside-hex'])('a redirect is checked as the first URL is: %s', async (path) => {
  const { stores } = await fileSandbox();
  const { store, key } = stores.locate(`${origin()}${path}`);
  const error = await failureOf(() => store.read(key));
  expect(error).toMatchObject({ code: 'uri_forbidden', retryable: false });
  expect(error.message).toContain('https://169.254.169.254/ is not allowed');
  expect(error.message).not.toContain('secre');
});

test('a server of this network is refused where the operator does not allow it', async () => {
  const { stores } = await fileSandbox({ allowedNetworks: [] });
  const { store, key } = stores.locate(`${origin()}/set.zip`);
  expect(await failureOf(() => store.read(key))).toMatchObject({ code: 'uri_forbidden', retryable: false });
  for (const host of ['127.0.0.1', '0x7f.1', '[::1]']) {
    const uri = `https://${host}/set.zip`;
    expect((await failureOf(() => stores.locate(uri))).code).toBe('uri_forbidden');
    expect((await failureOf(() => stores.open(uri))).code).toBe('uri_forbidden');
  }
});

test('a query belongs to the object, and shows in no message', async () => {
  const { folder, stores } = await fileSandbox();
  const uri = `${origin()}/signed.zip?token=secret`;
  const digest = await downloadTo(stores, uri, join(folder, 'x'), { maxBytes: 2 });
  expect(digest.sizeBytes).toBe(2);
  const error = await failureOf(() => downloadTo(stores, uri, join(folder, 'y'), { maxBytes: 1 }));
  expect(error.code).toBe('payload_too_large');
  expect(JSON.stringify(error.toJobError())).not.toContain('secret');
  expect(existsSync(join(folder, 'y'))).toBe(false);
});

test('a certificate that is not trusted is refused, and trying again is no use', async () => {
  const { stores } = await fileSandbox();
  const distrusted = await startHttps((_, response) => response.end('x'));
  if ('skip' in distrusted) throw new Error(distrusted.skip);
  try {
    const { store, key } = stores.locate(`${distrusted.origin}/x`);
    const error = await failureOf(() => store.read(key));
    expect(error).toMatchObject({ code: 'storage_unavailable', retryable: false });
    expect(error.message).toContain('certificate');
  } finally {
    await distrusted.stop();
  }
});

test('a server that is gone is storage_unavailable', async () => {
  const { stores } = await fileSandbox();
  const gone = await startHttps(() => undefined);
  if ('skip' in gone) throw new Error(gone.skip);
  await gone.stop();
  const { store, key } = stores.locate(`${gone.origin}/x`);
  expect(await failureOf(() => store.read(key))).toMatchObject({
    code: 'storage_unavailable',
    retryable: true,
  });
});

test('a server that does not answer is given up after 10 s', async ({ onTestFinished }) => {
  const { stores } = await fileSandbox();
  const slow = await startHttps(() => void vi.advanceTimersByTime(10_000));
  if ('skip' in slow) throw new Error(slow.skip);
  slow.trust();
  onTestFinished(() => slow.stop());
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());

  const silent = stores.locate(`${slow.origin}/silent`);
  const unanswered = await failureOf(() => silent.store.read(silent.key));
  expect(unanswered).toMatchObject({ code: 'storage_unavailable', retryable: true });
  expect(unanswered.message).toContain('no answer within 10 s');
});

test('an answer that stops in the middle is given up after 30 s, but a reader may take its time', async ({
  onTestFinished,
}) => {
  const { stores } = await fileSandbox();
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());

  const whole = stores.locate(`${origin()}/set.zip`);
  const unread = await whole.store.read(whole.key);
  await once(unread, 'readable');
  vi.advanceTimersByTime(300_000);
  expect(await unread.toArray().then((parts) => Buffer.concat(parts as Buffer[]))).toEqual(CONTENT);

  const stalled = stores.locate(`${origin()}/stall`);
  const stream = await stalled.store.read(stalled.key);
  const reading = (async () => {
    for await (const part of stream) {
      expect(String(part)).toBe('12345');
      setImmediate(() => vi.advanceTimersByTime(30_000));
    }
  })();
  const error = await failureOf(() => reading);
  expect(error.code).toBe('storage_unavailable');
  expect(error.message).toContain('broke off after 5 of 10 bytes: nothing came for 30 s');
});

test('nothing but single objects can be had, and nothing can be changed', async () => {
  const { stores } = await fileSandbox();
  const store = stores.open(`${origin()}/folder`);
  expect(store.uri).toBe(`${origin()}/folder/`);
  const calls = [
    () => listAll(store),
    () => store.listFolders(),
    () => store.write('x', PIECE),
    () => store.deleteAll(''),
    () => store.read('../x'),
    () => store.read('%2e%2e/x'),
  ];
  for (const call of calls) expect((await failureOf(call)).code, String(call)).toBe('uri_forbidden');
});
