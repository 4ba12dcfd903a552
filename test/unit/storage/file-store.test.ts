import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, readlink, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { AppError } from '@headstart/contracts';
import { createStores } from '@headstart/storage';
import { expect, test } from 'vitest';
import { poll } from '../../support/poll.js';
import { mountSmallDisk } from '../../support/small-disk.js';
import { failureOf, fileSandbox, keysOf, listAll } from '../../support/storage.js';

const bytes = (text: string) => new TextEncoder().encode(text);

test('what is written is read, from memory and from a file', async () => {
  const { folder, store } = await fileSandbox();
  await writeFile(join(folder, 'source.bin'), Buffer.alloc(300_000, 7));
  expect(await store.write('a/b/memory.txt', bytes('hello'))).toBe(true);
  expect(await store.write('a/b/file.bin', { file: join(folder, 'source.bin') })).toBe(true);
  expect(Buffer.from(await store.readBytes('a/b/memory.txt', 5)).toString()).toBe('hello');
  expect(Buffer.from(await store.readBytes('a/b/file.bin', 300_000))).toEqual(Buffer.alloc(300_000, 7));
  expect((await store.read('a/b/file.bin')).sizeBytes).toBe(300_000);
  await store.write('empty', new Uint8Array());
  expect(await store.readBytes('empty', 0)).toHaveLength(0);
  expect(await store.stat('a/b/file.bin')).toMatchObject({ key: 'a/b/file.bin', sizeBytes: 300_000 });
});

test('a second write replaces the first, unless it must be absent', async () => {
  const { root, store } = await fileSandbox();
  expect(await store.write('x', bytes('first'), { onlyIfAbsent: true })).toBe(true);
  expect(await store.write('x', bytes('second'), { onlyIfAbsent: true })).toBe(false);
  expect(Buffer.from(await store.readBytes('x', 10)).toString()).toBe('first');
  expect(await store.write('x', bytes('third'))).toBe(true);
  expect(Buffer.from(await store.readBytes('x', 10)).toString()).toBe('third');
  expect(await readdir(root)).toEqual(['x']);
});

test('of many writers that want to be first, exactly one is', async () => {
  const { root, store } = await fileSandbox();
  const writers = Array.from({ length: 20 }, (_, index) =>
    store.write('manifest.json', bytes(`writer ${index}`), { onlyIfAbsent: true }),
  );
  expect((await Promise.all(writers)).filter(Boolean)).toHaveLength(1);
  expect(await readdir(root)).toEqual(['manifest.json']);
});

test('files are listed in the order of an object store, without what is being written', async () => {
  const { root, store } = await fileSandbox();
  const keys = ['a-b', 'a.txt', 'a/x', 'a/y/z', 'a0', 'é', '\u{10000}', '\uffee'];
  for (const key of keys) await store.write(key, bytes(key));
  await writeFile(join(root, '.headstart-01234567-89ab-cdef-0123-456789abcdef.tmp'), 'half');
  const byBytes = keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  expect(await keysOf(store)).toEqual(byBytes);
  expect((await listAll(store))[0]).toEqual({ key: 'a-b', sizeBytes: 3, path: join(root, 'a-b') });
  expect(await store.listFolders()).toEqual(['a']);
  expect(await store.listFolders('a')).toEqual(['y']);
});

test('what is missing is null for stat, and storage_not_found for the rest', async () => {
  const { stores, store, root } = await fileSandbox();
  await store.write('file', bytes('x'));
  await mkdir(join(root, 'folder'));
  for (const key of ['nothing', 'no/thing', 'file/below', 'folder'])
    expect(await store.stat(key), key).toBeNull();
  const missing = stores.open(`file://${root}/nothing/`);
  const calls = [
    () => store.read('nothing'),
    () => store.read('folder'),
    () => store.listFolders('nothing'),
    () => missing.listFolders(),
    () => keysOf(missing),
    () => keysOf(stores.open(`file://${root}/file/`)),
  ];
  for (const call of calls) {
    const error = await failureOf(call);
    expect(error.code, String(call)).toBe('storage_not_found');
    expect(error.message).toContain(`file://${root}`);
  }
  await missing.deleteAll('');
});

test('a name that is no UTF-8 is said, and not left out', async ({ skip }) => {
  const { root, store } = await fileSandbox();
  await store.write('caf\u00e9/1.png', bytes('x'));
  expect(await keysOf(store)).toEqual(['caf\u00e9/1.png']);
  // Latin-1, as old archives leave it.
  const folder = Buffer.concat([Buffer.from(`${root}/caf`), Buffer.of(0xe9)]);
  await mkdir(folder).catch((error: Error) => skip(`this file system takes no such name: ${error.message}`));
  for (const list of [() => listAll(store), () => store.listFolders()]) {
    const error = await failureOf(list);
    expect(error).toMatchObject({ code: 'storage_unavailable', retryable: false });
    expect(error.message).toContain('caf%EF%BF%BD has a name that is no UTF-8');
  }
});

test('a pipe is no file: it is neither listed nor waited for', async ({ skip }) => {
  const { root, store } = await fileSandbox();
  const made = promisify(execFile)('mkfifo', [join(root, 'pipe')]);
  if (
    !(await made.then(
      () => true,
      () => false,
    ))
  )
    return skip('no mkfifo here to make a pipe with');
  expect(await keysOf(store)).toEqual([]);
  expect((await failureOf(() => store.read('pipe'))).code).toBe('storage_not_found');
});

test('permissions that are missing are storage_forbidden', async ({ skip }) => {
  if (process.getuid?.() === 0) return skip('root may do everything');
  const { root, store } = await fileSandbox();
  await mkdir(join(root, 'locked'));
  await chmod(join(root, 'locked'), 0o500);
  const error = await failureOf(() => store.write('locked/x', bytes('x')));
  expect(error.code).toBe('storage_forbidden');
});

test('a device that is full is disk_full, and nothing half-written stays', async ({ skip }) => {
  const { folder, root, store } = await fileSandbox();
  const refusal = await mountSmallDisk(root, 65_536);
  if (refusal) return skip(refusal);
  await writeFile(join(folder, 'large.bin'), Buffer.alloc(200_000));
  const error = await failureOf(() => store.write('large.bin', { file: join(folder, 'large.bin') }));
  expect(error.code).toBe('disk_full');
  expect(await readdir(root)).toEqual([]);
});

test('deleteAll removes by prefix, and not what links lead to', async () => {
  const { root, store } = await fileSandbox();
  for (const key of ['ab/1', 'ab/c/2', 'abc', 'b/3', 'keep/4']) await store.write(key, bytes(key));
  await symlink(join(root, 'keep'), join(root, 'ab', 'link'));
  await store.deleteAll('ab');
  expect(await keysOf(store)).toEqual(['b/3', 'keep/4']);
  await store.deleteAll('b/');
  expect(await readdir(root)).toEqual(['keep']);
  await store.deleteAll('');
  expect(await readdir(root)).toEqual([]);
});

test('readBytes stops at its limit', async () => {
  const { store } = await fileSandbox();
  await store.write('x', bytes('123456'));
  const error = await failureOf(() => store.readBytes('x', 5));
  expect(error.code).toBe('payload_too_large');
  expect(error.message).toContain('at most 5');
});

test('a range is read alone, and there are no presigned URLs', async () => {
  const { store } = await fileSandbox();
  await store.write('x', bytes('0123456789'));
  const part = await store.read('x', { range: { start: 3, end: 5 } });
  expect(part.sizeBytes).toBe(3);
  expect(await text(part)).toBe('345');
  const beyond = await store.read('x', { range: { start: 8, end: 10 } });
  expect((await failureOf(() => text(beyond))).code).toBe('storage_unavailable');
  expect(await store.presignGet('x', 900)).toBeNull();
});

test('a file that is cut off while it is read is an error, not an early end', async () => {
  const { root, store } = await fileSandbox();
  await store.write('x', Buffer.alloc(2_000_000));
  const reading = (async () => {
    for await (const part of await store.read('x')) {
      if ((part as Buffer).length > 0) await truncate(join(root, 'x'), 100);
    }
  })();
  const error = await failureOf(() => reading);
  expect(error.code).toBe('storage_unavailable');
  expect(error.message).toMatch(/broke off after \d+ of 2000000 bytes/);
});

test.runIf(process.platform === 'linux')('a write leaves no file open, whenever it is aborted', async () => {
  const { folder, store } = await fileSandbox();
  const file = join(folder, 'source.bin');
  await writeFile(file, bytes('hello'));
  const openOfSource = async () => {
    const fds = await readdir('/proc/self/fd');
    const targets = await Promise.all(fds.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
    return targets.filter((target) => target === file).length;
  };
  // Between any two of its steps.
  for (let turns = 0; turns < 40; turns++) {
    const controller = new AbortController();
    const writing = store.write('x', { file }, { signal: controller.signal }).catch(() => undefined);
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
    controller.abort(new Error('enough'));
    await writing;
  }
  await poll('the source to be closed', async () => ((await openOfSource()) === 0 ? true : null), 10_000);
});

test('an aborted signal ends reading and writing with its own reason', async () => {
  const { folder, root, store } = await fileSandbox();
  const reason = new AppError('canceled', 'enough');
  const signal = AbortSignal.abort(reason);
  await store.write('x', Buffer.alloc(1_000_000));
  await expect(store.read('x', { signal })).rejects.toBe(reason);
  await writeFile(join(folder, 'source.bin'), Buffer.alloc(1_000_000));
  await expect(store.write('y', { file: join(folder, 'source.bin') }, { signal })).rejects.toBe(reason);
  expect(await readdir(root)).toEqual(['x']);

  const controller = new AbortController();
  const stream = await store.read('x', { signal: controller.signal });
  controller.abort(reason);
  await expect(stream.toArray()).rejects.toBe(reason);
});

test('a source that is missing is not blamed on the store', async () => {
  const { folder, root, store } = await fileSandbox();
  const error = await failureOf(() => store.write('x', { file: join(folder, 'missing') }));
  expect(error.code).toBe('internal_error');
  expect(await readdir(root)).toEqual([]);
});

test.each([
  'http://example.org/x.zip',
  'gs://bucket/x',
  'no uri',
  's3://',
  's3:///key',
  'https://u:p@host/x',
])('%s is no URI of a store', async (uri) => {
  const stores = createStores({
    fileRoots: [],
    allowedNetworks: [],
    s3: { region: 'us-east-1', forcePathStyle: false },
  });
  for (const call of [() => stores.open(uri), () => stores.locate(uri)]) {
    const error = await failureOf(call);
    expect(error.code).toBe('invalid_request');
    expect(error.message).not.toContain('u:p');
  }
});

test('a folder cannot be located as a file', async () => {
  const { root, stores } = await fileSandbox();
  for (const uri of [
    `file://${root}`,
    `file://${root}/x/`,
    's3://bucket',
    's3://bucket/x/',
    'https://host/x/',
  ])
    expect((await failureOf(() => stores.locate(uri))).code, uri).toBe('invalid_request');
});
