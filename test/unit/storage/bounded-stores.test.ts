import type { AppError, ObjectStores } from '@headstart/contracts';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { failureOf, fileSandbox, keysOf } from '../../support/storage.js';

const uriOf = (path: string) => pathToFileURL(path).href;

/** Folders of two tenants in the root, and stores of the first one's alone. */
async function sandbox() {
  const { folder, root, stores } = await fileSandbox();
  const [birds, fish] = [join(root, 'birds'), join(root, 'fish')];
  for (const one of [birds, fish]) {
    await mkdir(join(one, 'set'), { recursive: true });
    await writeFile(join(one, 'set', 'a.txt'), one);
  }
  return { folder, root, birds, fish, stores, bounded: stores.within([uriOf(birds), 's3://bucket/birds/']) };
}

/** That a call is refused, naming what is allowed and not what a link leads to. */
async function expectRefused(call: () => unknown, { birds, fish }: { birds: string; fish: string }) {
  const error: AppError = await failureOf(call);
  expect([error.code, error.retryable], String(call)).toEqual(['uri_forbidden', false]);
  expect(error.message).toContain(`${uriOf(birds)}, s3://bucket/birds/`);
  expect(JSON.stringify([error.message, error.details])).not.toContain(fish);
}

describe('stores within prefixes', () => {
  it.each(['s3://bucket/birdsong/', 's3://bucket/birds/../fish/', 's3://other/birds/x', 'file:///etc/x'])(
    'refuse %s when it is opened',
    async (uri) => {
      const { bounded } = await sandbox();
      for (const call of [() => bounded.open(uri), () => bounded.locate(uri.replace(/\/?$/, '/x.bin'))]) {
        const error = await failureOf(call);
        expect(error.code).toBe('uri_forbidden');
        expect(error.message).toContain(uri);
        expect(error.message).toContain('s3://bucket/birds/');
      }
    },
  );

  it('open what is below one of them, and web addresses', async () => {
    const { bounded, birds } = await sandbox();
    expect(await keysOf(bounded.open(uriOf(birds)))).toEqual(['set/a.txt']);
    const { store, key } = bounded.locate(uriOf(join(birds, 'set', 'a.txt')));
    expect(await store.stat(key)).toMatchObject({ key: 'a.txt' });
    expect(bounded.open('s3://bucket/birds/set').uri).toBe('s3://bucket/birds/set/');
    expect(bounded.open('https://example.com/set').uri).toBe('https://example.com/set/');
  });

  it('may have one file as a prefix', async () => {
    const { stores, birds } = await sandbox();
    const file = uriOf(join(birds, 'set', 'a.txt'));
    const { store, key } = stores.within([file]).locate(file);
    expect(Buffer.from(await store.readBytes(key, 100)).toString()).toBe(birds);
    await writeFile(join(birds, 'set', 'b.txt'), 'x');
    expect((await failureOf(() => store.stat('b.txt'))).code).toBe('uri_forbidden');
    expect((await failureOf(() => keysOf(store))).code).toBe('uri_forbidden');
  });

  it('have several bounds when they are bounded again, and none of null', async () => {
    const { bounded, birds, fish, stores } = await sandbox();
    const both = bounded.within([uriOf(join(birds, 'set')), uriOf(fish)]);
    expect(await keysOf(both.open(uriOf(join(birds, 'set'))))).toEqual(['a.txt']);
    for (const folder of [birds, fish])
      expect((await failureOf(() => both.open(uriOf(folder)))).code).toBe('uri_forbidden');
    await symlink(join(fish, 'set'), join(birds, 'set', 'link'));
    expect((await failureOf(() => keysOf(both.open(uriOf(join(birds, 'set')))))).code).toBe('uri_forbidden');
    expect(await keysOf(stores.within(null).open(uriOf(fish)))).toEqual(['set/a.txt']);
  });

  it('follow no link out of them, whatever is done with it', async () => {
    const { bounded, birds, fish } = await sandbox();
    await symlink(join(fish, 'set'), join(birds, 'out'));
    await symlink(join(fish, 'set', 'a.txt'), join(birds, 'a.txt'));
    await symlink(join(fish, 'not-yet'), join(birds, 'dangling'));
    const store = bounded.open(uriOf(birds));
    const located = (path: string) => bounded.locate(uriOf(join(birds, path)));
    const calls = [
      () => store.read('a.txt'),
      () => store.read('out/a.txt'),
      () => store.readBytes('a.txt', 100),
      () => store.stat('a.txt'),
      () => store.stat('out/missing.txt'),
      () => store.write('a.txt', Buffer.from('x')),
      () => store.write('out/new.txt', Buffer.from('x')),
      () => store.write('dangling/new.txt', Buffer.from('x')),
      () => store.copy('a.txt', 'copied.txt'),
      () => store.copy('set/a.txt', 'out/copied.txt'),
      () => store.deleteAll('out/'),
      () => store.listFolders(),
      () => keysOf(store),
      () => keysOf(bounded.open(uriOf(join(birds, 'out')))),
      () => located('a.txt').store.stat('a.txt'),
      () => located('out/a.txt').store.read('a.txt'),
    ];
    for (const call of calls) await expectRefused(call, { birds, fish });
    expect(await readFile(join(fish, 'set', 'a.txt'), 'utf8')).toBe(fish);
  });

  it.each(['set', 'set/a.txt', 'set/a.txt/x', 'missing', 'missing/x'])(
    'tell nothing of what is outside by what they say of a link to it (%s)',
    async (path) => {
      const { bounded, birds, fish } = await sandbox();
      await symlink(join(fish, path), join(birds, 'link'));
      const store = bounded.open(uriOf(birds));
      const calls = [
        () => store.stat('link'),
        () => store.read('link'),
        () => store.listFolders(),
        () => store.listFolders('link'),
        () => keysOf(store),
        () => store.deleteAll('link/'),
      ];
      for (const call of calls) await expectRefused(call, { birds, fish });
    },
  );

  it('pass over a link to what is not there, or round in a circle, where it stays within one of them', async () => {
    const { bounded, birds } = await sandbox();
    await symlink(join(birds, 'missing'), join(birds, 'dangling'));
    await symlink('circle', join(birds, 'circle'));
    const store = bounded.open(uriOf(birds));
    expect(await keysOf(store)).toEqual(['set/a.txt']);
    for (const key of ['dangling', 'circle']) {
      expect(await store.stat(key)).toBeNull();
      expect((await failureOf(() => store.read(key))).code).toBe('storage_not_found');
      expect(await store.write(key, Buffer.from('x'))).toBe(true);
      expect(await store.stat(key)).toMatchObject({ sizeBytes: 1 });
    }
  });

  it('follow those that stay within one of them, and a prefix that is a link', async () => {
    const { root, bounded, birds, fish, stores } = await sandbox();
    await symlink(join(birds, 'set'), join(birds, 'again'));
    expect(await keysOf(bounded.open(uriOf(birds)))).toEqual(['again/a.txt', 'set/a.txt']);
    await symlink(fish, join(root, 'alias'));
    const alias = stores.within([uriOf(join(root, 'alias'))]);
    expect(await keysOf(alias.open(uriOf(join(root, 'alias'))))).toEqual(['set/a.txt']);
    await symlink(join(fish, 'set'), join(birds, 'theirs'));
    const both = stores.within([uriOf(birds), `${uriOf(birds)}/`, uriOf(fish)]);
    expect(await keysOf(both.open(uriOf(birds)))).toContain('theirs/a.txt');
  });

  it('are no wider for a prefix that is a link out of the roots, or stands below another', async () => {
    const { folder, root, birds, fish, stores } = await sandbox();
    const outside = join(folder, 'outside');
    await mkdir(outside);
    await symlink(outside, join(root, 'out'));
    const out = stores.within([uriOf(join(root, 'out'))]).open(uriOf(join(root, 'out')));
    expect((await failureOf(() => keysOf(out))).code).toBe('uri_forbidden');

    await symlink(fish, join(birds, 'own'));
    const own = uriOf(join(birds, 'own'));
    const nested: ObjectStores = stores.within([uriOf(birds), own]);
    expect((await failureOf(() => keysOf(nested.open(own)))).code).toBe('uri_forbidden');
  });
});
