import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterEach, expect, inject, test } from 'vitest';
import { unpackDebianRedis } from '../../scripts/src/redis/debian.js';
import { launchRedis, ping } from '../../scripts/src/redis/server.js';
import { startRedis } from '../support/redis.js';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

test('the shared server keeps what it is given and writes it to disk', async () => {
  const redis = new Redis(inject('redisUrl'));
  cleanups.push(async () => void (await redis.quit()));
  expect(await redis.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction']);
  expect(await redis.config('GET', 'appendonly')).toEqual(['appendonly', 'yes']);
});

test('a server of its own can be killed, and is gone', async () => {
  const server = await startRedis();
  cleanups.push(() => server.stop());
  const { hostname, port } = new URL(server.url);
  await ping(hostname, Number(port));
  server.kill();
  await server.stop();
  await expect(ping(hostname, Number(port))).rejects.toThrow('ECONNREFUSED');
});

test('a server that closes the connection without a word is none', async () => {
  const server = createServer((socket) => socket.resume().end()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(async () => void (await once(server.close(), 'close')));
  const { port } = server.address() as AddressInfo;
  await expect(ping('127.0.0.1', port)).rejects.toThrow('closed the connection');
}, 10_000);

test("the distribution's package runs where it was unpacked", async ({ skip }) => {
  const folder = await mkdtemp(join(tmpdir(), 'headstart-redis-package-'));
  cleanups.push(() => rm(folder, { recursive: true, force: true }));
  const program = await unpackDebianRedis(folder).catch((error: unknown) =>
    skip(`no package to unpack: ${(error as Error).message}`),
  );
  const server = await launchRedis(program);
  cleanups.push(() => server.stop());
  const { hostname, port } = new URL(server.url);
  await ping(hostname, Number(port));
  // The second call finds what the first one left.
  expect(await unpackDebianRedis(folder)).toEqual(program);
});
