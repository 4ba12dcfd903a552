import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Dataset } from '@headstart/contracts';
import { checkRefusedShare, listClasses, type OpenDatasetOptions } from '@headstart/dataset';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errorOf, LIMITS, openBelow, storesFor, uriOf } from '../../support/dataset.js';
import { pngs, writeTree } from '../../support/pictures.js';

let root: string;
let data: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'headstart-dataset-'));
  data = join(root, 'data');
  await mkdir(data);
});
afterEach(() => rm(root, { recursive: true }));

function open(options: Partial<OpenDatasetOptions> = {}): Promise<Dataset> {
  return openBelow(root, options);
}

describe('what cannot be trained on', () => {
  it('no such folder', async () => {
    const uri = `${uriOf(join(root, 'absent'))}/`;
    for (const attempt of [() => open({ uri }), () => listClasses(storesFor(root), uri, null)])
      expect((await errorOf(attempt())).code).toBe('dataset_not_found');
  });

  it('no such archive', async () => {
    expect((await errorOf(open({ uri: uriOf(join(root, 'absent.zip')) }))).code).toBe('dataset_not_found');
  });

  it('a folder outside the roots', async () => {
    const error = await errorOf(open({ stores: storesFor(join(root, 'elsewhere')) }));
    expect(error.code).toBe('uri_forbidden');
  });

  it('more refused files than may be', async () => {
    await writeTree(data, {
      ...(await pngs('ants', 4)),
      ...(await pngs('bees', 4, 50)),
      'ants/x': 'no picture',
    });
    const { report } = await open();
    expect(report.refusedShare).toBeCloseTo(1 / 9);
    checkRefusedShare(report, { ...LIMITS, refusedShare: 0.12 });
    // 0.07 * 100 is 7.000000000000001.
    expect(() => checkRefusedShare(report, { ...LIMITS, refusedShare: 0.07 })).toThrow(
      /^1 of the data set's 9 files were refused, "ants\/x" because it is text.* At most 7 % may be\./,
    );
  });

  it('an empty class, also where all of its files are bad', async () => {
    await writeTree(data, await pngs('ants', 4));
    await mkdir(join(data, 'bees'));
    const empty = await errorOf(open());
    expect(empty.code).toBe('dataset_invalid');
    expect(empty.message).toContain('Class "bees" has no usable picture in bees/: there are no files in it');

    await writeFile(join(data, 'bees', '1.jpg'), 'text');
    const bad = await errorOf(open());
    expect(bad.message).toContain('1 of its files were refused, "bees/1.jpg" because it is text');
  });

  it('an empty class in val/', async () => {
    await writeTree(data, {
      ...(await pngs('train/ants', 2)),
      ...(await pngs('train/bees', 2, 50)),
      ...(await pngs('val/ants', 2, 100)),
      'val/bees/1.png': 'text',
    });
    expect((await errorOf(open())).message).toContain('Class "bees" has no usable picture in val/bees/');
  });

  it('one class, or none', async () => {
    await writeTree(data, await pngs('ants', 2));
    for (const attempt of [() => open(), () => listClasses(storesFor(root), `${uriOf(data)}/`, null)]) {
      const error = await errorOf(attempt());
      expect(error.code).toBe('dataset_invalid');
      expect(error.message).toContain('at least 2 classes, and only "ants" was found');
    }
  });

  it('a class of one picture that would have to be split', async () => {
    await writeTree(data, { ...(await pngs('ants', 4)), ...(await pngs('bees', 1, 50)) });
    expect((await errorOf(open())).message).toContain('Class "bees" has 1 usable picture');
  });
});
