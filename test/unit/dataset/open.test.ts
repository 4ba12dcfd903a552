import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError, DatasetReport, type Dataset } from '@headstart/contracts';
import { listClasses, type OpenDatasetOptions } from '@headstart/dataset';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeZip } from '../../support/archives.js';
import { errorOf, openBelow, storesFor, uriOf } from '../../support/dataset.js';
import { noisyJpeg, plainPicture, pngOf, pngs, writeTree } from '../../support/pictures.js';
import { ANTS_BEES, SHARED_FOLDER, sharedIsMissing } from '../../support/shared.js';

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

const pathsOf = (pictures: { path: string }[]) => pictures.map(({ path }) => path);

describe('a folder of class folders', () => {
  it('is split by the seed, class by class, and read in place', async () => {
    await writeTree(data, { ...(await pngs('bees', 20)), ...(await pngs('ants', 10, 100)) });
    const dataset = await open();
    expect(dataset.classes).toEqual(['ants', 'bees']);
    expect(dataset.report).toMatchObject({
      uri: `${uriOf(data)}/`,
      split: { source: 'seeded', validationSplit: 0.2, seed: 1 },
      classes: [
        { class: 'ants', train: 8, val: 2 },
        { class: 'bees', train: 16, val: 4 },
      ],
      pictures: { train: 24, val: 6 },
      smallClasses: [],
      refused: [],
      refusedShare: 0,
      ignored: [],
      duplicates: [],
      inTrainAndVal: [],
    });
    expect(DatasetReport.parse(dataset.report)).toEqual(dataset.report);
    const all = [...dataset.train, ...dataset.val];
    expect(new Set(pathsOf(all)).size).toBe(30);
    for (const picture of all) {
      expect(picture.file).toBe(join(data, picture.path));
      expect(picture.label).toBe(picture.path.startsWith('ants/') ? 0 : 1);
    }
    expect(pathsOf(dataset.train)).toEqual(pathsOf(dataset.train).sort());

    const again = await open();
    expect(again).toEqual(dataset);
    const reseeded = await open({ seed: 2 });
    expect(pathsOf(reseeded.val)).not.toEqual(pathsOf(dataset.val));
    expect(reseeded.report.digest).not.toBe(dataset.report.digest);
  });

  it('takes files at any depth, and passes over what is no data', async () => {
    const ants = await pngs('ants/deep/er', 2);
    const more = await pngs('ants', 2, 10);
    const bees = await pngs('bees', 2, 20);
    await writeTree(data, {
      ...ants,
      ...more,
      ...bees,
      'README.txt': 'in the root',
      '.hidden/1.png': 'x',
      '__MACOSX/ants/1.png': 'x',
      'ants/.ipynb_checkpoints/1.png': 'x',
      'ants/.DS_Store': 'x',
    });
    const { report } = await open();
    expect(report.pictures).toEqual({ train: 4, val: 2 });
    expect(report.refused).toEqual([]);
    expect(report.ignored).toEqual([
      { path: '.hidden/', files: 1 },
      { path: '__MACOSX/', files: 1 },
      { path: 'ants/.*', files: 1 },
      { path: 'ants/.ipynb_checkpoints/', files: 1 },
    ]);
    expect(report.smallClasses).toEqual([
      { class: 'ants', pictures: 4 },
      { class: 'bees', pictures: 2 },
    ]);
  });

  it('reports bad files with their reasons, and goes on without them', async () => {
    const jpeg = await noisyJpeg();
    const same = await pngOf(999);
    await writeTree(data, {
      ...(await pngs('ants', 4)),
      ...(await pngs('bees', 4, 50)),
      'ants/text.jpg': 'I am not a picture.',
      'ants/cut.jpg': jpeg.subarray(0, jpeg.length / 2),
      'bees/notes.zip': makeZip([{ name: 'a.txt' }]),
      'bees/photo.txt': jpeg,
      'bees/x.png': same,
      'ants/x.png': same,
      'bees/large.png': Buffer.alloc(25_000_001),
    });
    const { report } = await open();
    expect(report.pictures.train + report.pictures.val).toBe(11);
    expect(report.refused).toEqual([
      {
        path: 'ants/cut.jpg',
        reason: expect.stringContaining('JPEG data is damaged or cut short') as string,
      },
      { path: 'ants/text.jpg', reason: expect.stringContaining('it is text') as string },
      { path: 'bees/large.png', reason: 'it has 25000001 bytes; a picture may have at most 25000000' },
      { path: 'bees/notes.zip', reason: expect.stringContaining('an archive within') as string },
    ]);
    expect(report.duplicates).toEqual([
      { sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string, paths: ['ants/x.png', 'bees/x.png'] },
    ]);
  });

  it('refuses a stray GIF, and takes GIFs where they are the usual format', async () => {
    const gif = (r: number) => plainPicture({ r, g: 0, b: 0 }).gif().toBuffer();
    await writeTree(data, {
      ...(await pngs('ants', 5)),
      'ants/notFound.gif': await gif(1),
      'bees/1.gif': await gif(2),
      'bees/2.gif': await gif(3),
      'bees/3.gif': await gif(4),
    });
    const { report } = await open();
    expect(report.refused).toEqual([
      {
        path: 'ants/notFound.gif',
        reason: expect.stringContaining('a GIF in a class of 5 pictures of other formats') as string,
      },
    ]);
    expect(report.pictures).toEqual({ train: 6, val: 2 });
  });

  it('orders the classes as asked, which does not change the split', async () => {
    await writeTree(data, { ...(await pngs('ants', 10)), ...(await pngs('bees', 10, 50)) });
    const [sorted, turned] = await Promise.all([open(), open({ classes: ['bees', 'ants'] })]);
    expect(turned.classes).toEqual(['bees', 'ants']);
    expect(turned.train[0]?.label).toBe(1);
    expect(pathsOf(turned.val)).toEqual(pathsOf(sorted.val));
    expect(turned.report.digest).toBe(sorted.report.digest);
  });

  it('refuses classes that are not the folders, naming which', async () => {
    await writeTree(data, { ...(await pngs('ants', 2)), ...(await pngs('bees', 2, 50)) });
    const error = await errorOf(open({ classes: ['ants', 'wasps'] }));
    expect(error.code).toBe('invalid_request');
    expect(error.message).toContain('"bees" missing; "wasps" unknown');
    expect(error.errors).toMatchObject([{ field: 'model.classes', allowed: ['ants', 'bees'] }]);
    expect((await errorOf(open({ classes: ['ants', 'bees', 'ants'] }))).message).toContain('named twice');
  });

  it('tells of its progress', async () => {
    await writeTree(data, { ...(await pngs('ants', 3)), ...(await pngs('bees', 3, 50)) });
    const seen: unknown[] = [];
    await open({ onProgress: (progress) => seen.push(progress) });
    expect(seen).toEqual(Array.from({ length: 7 }, (_, done) => ({ done, total: 6, unit: 'pictures' })));
  });

  it('stops at the next picture when it is told to, with the reason', async () => {
    await writeTree(data, { ...(await pngs('ants', 30)), ...(await pngs('bees', 30, 50)) });
    const controller = new AbortController();
    const reason = new AppError('canceled', 'The job was canceled.');
    let last = 0;
    const opening = open({
      signal: controller.signal,
      onProgress: ({ done }) => {
        last = done;
        if (done === 5) controller.abort(reason);
      },
    });
    expect(await errorOf(opening)).toBe(reason);
    expect(last).toBeLessThan(12);
  });
});

describe('train/ and val/', () => {
  it('are the split', async () => {
    await writeTree(data, {
      ...(await pngs('train/ants', 3)),
      ...(await pngs('train/bees', 2, 50)),
      ...(await pngs('val/ants', 1, 100)),
      ...(await pngs('val/bees', 2, 150)),
      ...(await pngs('test/ants', 2, 200)),
    });
    const { report } = await open();
    expect(report.split).toEqual({ source: 'folders', validationSplit: null, seed: null });
    expect(report.classes).toEqual([
      { class: 'ants', train: 3, val: 1 },
      { class: 'bees', train: 2, val: 2 },
    ]);
  });

  it('are told of pictures that stand in both', async () => {
    const same = await pngOf(999);
    await writeTree(data, {
      ...(await pngs('train/ants', 3)),
      ...(await pngs('train/bees', 3, 50)),
      ...(await pngs('val/ants', 1, 100)),
      ...(await pngs('val/bees', 1, 150)),
      'train/ants/x.png': same,
      'train/bees/x.png': same,
      'val/bees/y.png': same,
      'val/bees/z.png': await pngOf(150),
    });
    const { report } = await open();
    const sha256 = expect.stringMatching(/^[0-9a-f]{64}$/) as string;
    expect(report.inTrainAndVal).toEqual([
      { sha256, train: ['train/ants/x.png', 'train/bees/x.png'], val: ['val/bees/y.png'] },
    ]);
    expect(report.duplicates.map(({ paths }) => paths)).toEqual([
      ['train/ants/x.png', 'train/bees/x.png', 'val/bees/y.png'],
      ['val/bees/000.png', 'val/bees/z.png'],
    ]);
  });

  it('may lack val/, and are split then', async () => {
    await writeTree(data, { ...(await pngs('train/ants', 5)), ...(await pngs('train/bees', 5, 50)) });
    expect((await open()).report).toMatchObject({
      split: { source: 'seeded' },
      pictures: { train: 8, val: 2 },
    });
  });

  it.each([
    ['val/wasps', 'val/ has a class that train/ lacks', '"val/wasps" has no counterpart'],
    ['train/wasps', 'train/ has a class that val/ lacks', '"train/wasps" has no counterpart'],
    ['validation/ants', 'a misspelt val/', 'Beside train/ there is "validation"'],
  ])('are refused with %s: %s', async (folder, _what, message) => {
    await writeTree(data, {
      ...(await pngs('train/ants', 2)),
      ...(await pngs('train/bees', 2, 50)),
      ...(await pngs('val/ants', 2, 100)),
      ...(await pngs('val/bees', 2, 150)),
      ...(await pngs(folder, 2, 200)),
    });
    const error = await errorOf(open());
    expect(error.code).toBe('dataset_invalid');
    expect(error.message).toContain(message);
  });
});

describe('listClasses', () => {
  it('lists folders at the root, below train/, and inside a wrapping folder; null for archives', async () => {
    await writeTree(data, { ...(await pngs('wrap/train/b', 1)), ...(await pngs('wrap/train/a', 1)) });
    expect(await listClasses(storesFor(root), `${uriOf(data)}/`, null)).toEqual(['a', 'b']);
    expect(await listClasses(storesFor(root), `${uriOf(join(data, 'wrap/train'))}/`, null)).toEqual([
      'a',
      'b',
    ]);
    expect(await listClasses(storesFor(root), 's3://bucket/data.tar.gz', null)).toBeNull();
  });
});

describe.skipIf(sharedIsMissing())('real photographs of ants and bees', () => {
  it('are 397, and the stray GIF is reported', async () => {
    const { classes, report } = await open({ uri: `${uriOf(ANTS_BEES)}/`, stores: storesFor(SHARED_FOLDER) });
    expect(classes).toEqual(['ants', 'bees']);
    expect(report.pictures).toEqual({ train: 244, val: 153 });
    expect(report.classes).toEqual([
      { class: 'ants', train: 123, val: 70 },
      { class: 'bees', train: 121, val: 83 },
    ]);
    expect(report.refused).toEqual([
      { path: 'train/ants/imageNotFound.gif', reason: expect.stringContaining('it is a GIF') as string },
    ]);
  });
});
