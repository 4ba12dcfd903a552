import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { expect, it } from 'vitest';
import { TESTED } from '../../../packages/engines/src/tensorflow/build.js';

const root = resolve(import.meta.dirname, '../../..');
const read = (path: string) => readFile(resolve(root, path), 'utf8');

const minorOf = (version: string) => version.split('.').slice(0, 2).map(Number);

it('docs/tensorflow.md shows what scripts/link-tensorflow takes for tested, and what is tested', async () => {
  const docs = await read('docs/tensorflow.md');
  const rows = [...docs.matchAll(/^\| (2\.[\d.]+) +\| (yes|no) /gm)].map(([, version, loads]) => ({
    version: version!,
    loads: loads === 'yes',
  }));
  const loading = rows.filter(({ loads }) => loads).map(({ version }) => version);
  expect(minorOf(loading[0]!)).toEqual(TESTED.from);
  expect(minorOf(loading.at(-1)!)).toEqual(TESTED.to);
  expect(loading).toHaveLength(TESTED.to[1] - TESTED.from[1] + 1);

  const image = /The GPU image takes (\S+), and/.exec(docs)![1]!;
  expect(loading).toContain(image);
  expect(await read('.ci/link-tensorflow')).toContain(`\nversion=${image}\n`);
});
