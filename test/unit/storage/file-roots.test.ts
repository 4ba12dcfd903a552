import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createStores } from '@headstart/storage';
import { expect, test } from 'vitest';
import { failureOf, fileSandbox, keysOf } from '../../support/storage.js';

test.each([
  ['..', '/../secret/'],
  ['.. after a folder', '/sub/../../secret/'],
  ['percent-encoded ..', '/%2e%2e/secret/'],
  ['half-encoded ..', '/.%2E/secret/'],
  ['percent-encoded slashes', '/..%2fsecret/'],
  ['NUL', '/a%00b/'],
  ['a folder whose name starts with that of the root', '2/'],
])('a URI that leaves by %s is refused, naming the roots', async (_, rest) => {
  const { root, stores } = await fileSandbox();
  const uri = `file://${root}${rest}`;
  for (const call of [() => stores.open(uri), () => stores.locate(`${uri}x.bin`)]) {
    const error = await failureOf(call);
    expect(error.code).toBe('uri_forbidden');
    expect(error.retryable).toBe(false);
  }
  const outside = await failureOf(() => stores.open(`file://${root}/../secret/`));
  expect(outside.message).toContain(root);
  expect(outside.details).toMatchObject({ fileRoots: [root] });
});

test('.. that stays inside is allowed, and so is a percent sign in a name', async () => {
  const { root, stores, store } = await fileSandbox();
  await store.write('100%25/a b#?.txt', Buffer.from('x'));
  const uri = store.uriOf('100%25/a b#?.txt');
  const { store: folder, key } = stores.locate(uri);
  expect(key).toBe('a b#?.txt');
  expect(await folder.stat(key)).toEqual({ key, sizeBytes: 1, path: join(root, '100%25/a b#?.txt') });
  expect(stores.open(`file://${root}/sub/../other`).uri).toBe(`file://${root}/other/`);
});

test('without roots every file is refused', async () => {
  const stores = createStores({
    fileRoots: [],
    allowedNetworks: [],
    s3: { region: 'us-east-1', forcePathStyle: false },
  });
  const error = await failureOf(() => stores.open('file:///tmp/'));
  expect(error.code).toBe('uri_forbidden');
  expect(error.message).toContain('FILE_ROOTS');
});

test.each(['../outside', '/etc/passwd', 'a/../../x', 'a\0b'])('the key %j is refused', async (key) => {
  const { store } = await fileSandbox();
  const calls = [
    () => store.read(key),
    () => store.stat(key),
    () => store.write(key, Buffer.from('x')),
    () => store.deleteAll(key),
    () => store.listFolders(key),
  ];
  for (const call of calls) expect((await failureOf(call)).code).toBe('uri_forbidden');
});

test('links that lead out of the roots are refused, whatever is done with them', async () => {
  const { folder, root, store } = await fileSandbox();
  const outside = join(folder, 'outside');
  await mkdir(outside);
  await writeFile(join(outside, 'secret.txt'), 'secret');
  await symlink(outside, join(root, 'out'));
  await symlink(join(outside, 'secret.txt'), join(root, 'secret.txt'));
  await symlink(join(outside, 'not-yet'), join(root, 'dangling'));
  const calls = [
    () => store.read('out/secret.txt'),
    () => store.read('secret.txt'),
    () => store.readBytes('secret.txt', 100),
    () => store.stat('secret.txt'),
    () => store.stat('out/missing.txt'),
    () => store.write('out/new.txt', Buffer.from('x')),
    () => store.write('out/deep/new.txt', Buffer.from('x')),
    () => store.write('dangling/new.txt', Buffer.from('x')),
    () => store.deleteAll('out/'),
    () => store.listFolders('out'),
    () => keysOf(store),
  ];
  for (const call of calls) expect((await failureOf(call)).code, String(call)).toBe('uri_forbidden');
});

test('links that stay inside, a root that is a link, and a link in a circle all work', async () => {
  const { folder, root, store } = await fileSandbox();
  await store.write('real/a.txt', Buffer.from('x'));
  await symlink(join(root, 'real'), join(root, 'alias'));
  await symlink(root, join(root, 'real', 'up'));
  await symlink(join(root, 'gone'), join(root, 'leads-nowhere'));
  expect(await keysOf(store)).toEqual(['alias/a.txt', 'real/a.txt']);

  const rootLink = join(folder, 'data-link');
  await symlink(root, rootLink);
  const stores = createStores({
    fileRoots: [rootLink],
    allowedNetworks: [],
    s3: { region: 'us-east-1', forcePathStyle: false },
  });
  const { href } = pathToFileURL(join(rootLink, 'real'));
  expect(await keysOf(stores.open(href))).toContain('a.txt');
});
