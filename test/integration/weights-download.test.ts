import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { verifiedFile } from '@headstart/worker';
import { expect, it, onTestFinished } from 'vitest';
import { startReceiver } from '../support/receiver.js';
import { temporaryFolder } from '../support/training.js';

const BYTES = randomBytes(3_000_000);
const MD5 = createHash('md5').update(BYTES).digest('hex');

/** A cache folder that does not exist yet, and a server that answers as the test wants. */
async function setUp(answer: Parameters<typeof startReceiver>[0]) {
  const server = await startReceiver(answer);
  onTestFinished(() => server.close());
  const file = join(await temporaryFolder(), 'cache', 'weights.h5');
  const progress: [number, number | null][] = [];
  const get = (md5 = MD5, signal = new AbortController().signal) =>
    verifiedFile(file, md5, {
      url: server.url,
      signal,
      onProgress: (done, total) => progress.push([done, total]),
    });
  const leftovers = () => readdir(dirname(file)).catch(() => []);
  return { server, file, progress, get, leftovers };
}

it('downloads once, with progress, and answers from the cache after that', async () => {
  const { server, file, progress, get } = await setUp(
    (response) => void response.writeHead(200, { 'content-length': BYTES.length }).end(BYTES),
  );
  expect(await get()).toBe(file);
  expect((await readFile(file)).equals(BYTES)).toBe(true);
  expect(progress.at(-1)).toEqual([BYTES.length, BYTES.length]);
  expect(await get()).toBe(file);
  expect(server.received).toHaveLength(1);
});

it('takes a file that was put there by hand, and refuses one with another MD5', async () => {
  const { server, file, get } = await setUp((response) => void response.writeHead(500).end());
  await mkdir(dirname(file));
  await writeFile(file, BYTES);
  expect(await get()).toBe(file);
  await expect(get('0'.repeat(32))).rejects.toMatchObject({ code: 'weights_unavailable', details: { file } });
  expect(server.received).toHaveLength(0);
});

it.each<[string, Parameters<typeof startReceiver>[0]]>([
  ['another file', (response) => void response.end('not the weights')],
  ['an error', (response) => void response.writeHead(404).end()],
  [
    'a broken connection',
    (response) =>
      void response
        .writeHead(200, { 'content-length': BYTES.length })
        .write(BYTES.subarray(0, 1_000_000), () => response.destroy()),
  ],
])('says weights_unavailable, and leaves nothing half-done, where the server sends %s', async (_, answer) => {
  const { get, leftovers } = await setUp(answer);
  await expect(get()).rejects.toMatchObject({ code: 'weights_unavailable', retryable: false });
  expect(await leftovers()).toEqual([]);
});

it('stops with the reason it is given', async () => {
  const stop = new AbortController();
  const { get, leftovers } = await setUp((response) => {
    response.writeHead(200, { 'content-length': BYTES.length }).write(BYTES.subarray(0, 1000));
    stop.abort(new Error('enough'));
  });
  await expect(get(MD5, stop.signal)).rejects.toThrow('enough');
  expect(await leftovers()).toEqual([]);
});
