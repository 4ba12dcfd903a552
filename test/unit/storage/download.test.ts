import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { downloadTo, hashFile } from '@headstart/storage';
import { expect, test } from 'vitest';
import { failureOf, fileSandbox } from '../../support/storage.js';

const CONTENT = Buffer.alloc(500_000, 'headstart');
const SHA256 = createHash('sha256').update(CONTENT).digest('hex');

test('a file:// object is downloaded, over an older file too', async () => {
  const { folder, store, stores } = await fileSandbox();
  await store.write('set.tar', CONTENT);
  const file = join(folder, 'set.tar');
  await writeFile(file, 'older');
  const digest = await downloadTo(stores, store.uriOf('set.tar'), file, { maxBytes: CONTENT.length });
  expect(digest).toEqual({ sizeBytes: CONTENT.length, sha256: SHA256 });
  expect(await readFile(file)).toEqual(CONTENT);
  expect(await hashFile(file)).toEqual(digest);
});

test('a failure keeps the older file', async () => {
  const { folder, store, stores } = await fileSandbox();
  await store.write('set.tar', CONTENT);
  const file = join(folder, 'set.tar');
  await writeFile(file, 'older');
  const limit = { maxBytes: 100 };
  const error = await failureOf(() => downloadTo(stores, store.uriOf('set.tar'), file, limit));
  expect(error.code).toBe('payload_too_large');
  expect(await readFile(file, 'utf8')).toBe('older');
  expect((await readdir(folder)).sort()).toEqual(['data', 'set.tar']);
});

test('what is missing or not allowed is said as such', async () => {
  const { folder, store, stores } = await fileSandbox();
  const download = (uri: string) => downloadTo(stores, uri, join(folder, 'x'), { maxBytes: 100 });
  expect((await failureOf(() => download(store.uriOf('missing')))).code).toBe('storage_not_found');
  expect((await failureOf(() => download('file:///etc/passwd'))).code).toBe('uri_forbidden');
  expect((await failureOf(() => download('ftp://host/x'))).code).toBe('invalid_request');
});

test('a file of no bytes has a digest', async () => {
  const { folder } = await fileSandbox();
  const file = join(folder, 'empty');
  await writeFile(file, '');
  expect(await hashFile(file)).toEqual({ sizeBytes: 0, sha256: createHash('sha256').digest('hex') });
});
