import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { AppError } from '@headstart/contracts';
import { afterEach, expect, it } from 'vitest';
import { fileSandbox, keysOf } from '../../support/storage.js';

/** Has a folder and a link to another take turns under one name, as fast as they can, until it is killed. */
const SWAP = `
const { existsSync, renameSync, rmSync, symlinkSync } = require('node:fs');
const [folder, link, name, theirs] = process.argv.slice(1);
console.log('swapping');
for (;;) {
  try {
    renameSync(folder, name);
    renameSync(name, folder);
    renameSync(link, name);
    renameSync(name, link);
  } catch {
    // A folder was made under that name, while nothing had it. It may be in use: then it goes the next time.
    try {
      rmSync(name, { recursive: true, force: true });
    } catch {}
    if (!existsSync(link)) symlinkSync(theirs, link);
  }
}`;
const TRIES = 300;

let swapper: ChildProcess | undefined;
afterEach(async () => {
  if (!swapper) return;
  swapper.kill('SIGKILL');
  await once(swapper, 'exit');
});

/** A store of one tenant's folder, in which `folder` is its own at one moment and another tenant's the next. */
async function sandbox() {
  const { root, stores } = await fileSandbox();
  const [own, theirs] = [join(root, 'birds'), join(root, 'fish')];
  for (const path of [join(own, 'a'), theirs]) {
    await mkdir(path, { recursive: true });
    await writeFile(join(path, 'file'), path);
  }
  await symlink(theirs, join(own, 'b'));
  await writeFile(join(theirs, 'secret'), 'x');
  const bounded = stores.within([pathToFileURL(own).href]);
  const store = bounded.open(pathToFileURL(own).href);
  const folder = bounded.open(store.uriOf('folder'));
  swapper = spawn(
    process.execPath,
    ['-e', SWAP, join(own, 'a'), join(own, 'b'), join(own, 'folder'), theirs],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  await once(swapper.stdout!, 'data');
  return { own, theirs, store, folder };
}

/** Tries it again and again, until it went through at least once. @returns what came of it where it did. */
async function tryOften<T>(work: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (let i = 0; i < TRIES || results.length === 0; i++) {
    try {
      results.push(await work(i));
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
    }
  }
  return results;
}

it('what is read is never what a link leads to that came behind the check', async () => {
  const { store, theirs } = await sandbox();
  const read = await tryOften(async () => Buffer.from(await store.readBytes('folder/file', 1000)).toString());
  expect(read).not.toContain(theirs);
});

it('nor is it listed', async () => {
  const { folder } = await sandbox();
  const listed = await tryOften(() => keysOf(folder));
  expect(listed.flat()).not.toContain('secret');
});

it('nor is it written to, linked or removed', async () => {
  const { own, store, theirs } = await sandbox();
  await tryOften((i) => store.write(`folder/new-${i}`, Buffer.from('x')));
  await tryOften(() => store.copy('folder/file', 'copied'));
  await tryOften(() => store.deleteAll('folder/'));
  expect(await readdir(theirs)).toEqual(['file', 'secret']);
  expect(await readFile(join(theirs, 'file'), 'utf8')).toBe(theirs);
  expect(await readFile(join(own, 'copied'), 'utf8')).toBe(join(own, 'a'));
});
