import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { AppError } from '@headstart/contracts';
import { unpackArchive } from '@headstart/dataset';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeTar, makeZip, type TarEntry } from '../../support/archives.js';
import { errorOf, LIMITS } from '../../support/dataset.js';

const DATA = Buffer.from('some bytes');
const SIGNAL = new AbortController().signal;

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'headstart-archives-'));
});
afterEach(() => rm(root, { recursive: true }));

async function unpack(name: string, bytes: Uint8Array, signal = SIGNAL) {
  await writeFile(join(root, name), bytes);
  return unpackArchive(join(root, name), {
    uri: `s3://bucket/${name}`,
    directory: join(root, 'out', 'dataset'),
    limits: LIMITS,
    signal,
  });
}

/** Packs the same entries as each kind of archive. */
const KINDS: { kind: string; make: (entries: TarEntry[]) => Promise<Buffer> }[] = [
  { kind: 'data.zip', make: (entries) => Promise.resolve(makeZip(entries)) },
  { kind: 'data.tar', make: makeTar },
  { kind: 'data.tar.gz', make: async (entries) => gzipSync(await makeTar(entries)) },
  { kind: 'DATA.TGZ', make: async (entries) => gzipSync(await makeTar(entries)) },
];

describe.each(KINDS)('$kind', ({ kind, make }) => {
  it('is unpacked: files, folders, names in UTF-8, and nothing that tools left behind', async () => {
    const { files, folders, refused, ignored } = await unpack(
      kind,
      await make([
        { name: './set/' },
        { name: './set/ants/ä 1.jpg', data: DATA },
        { name: 'set//bees/2.jpg', data: Buffer.from('other') },
        { name: 'set/empty/' },
        { name: '__MACOSX/set/ants/._1.jpg', data: DATA },
        { name: 'set/ants/.DS_Store', data: DATA },
        { name: 'set/none.jpg', data: Buffer.alloc(0) },
      ]),
    );
    expect(files.map(({ path }) => path)).toEqual(['set/ants/ä 1.jpg', 'set/bees/2.jpg', 'set/none.jpg']);
    expect([...folders].sort()).toEqual(['set', 'set/ants', 'set/bees', 'set/empty']);
    expect(refused).toEqual([]);
    expect([...ignored]).toEqual([
      ['__MACOSX/', 1],
      ['set/ants/.*', 1],
    ]);
    const contents = await Promise.all(files.map(({ file }) => readFile(file, 'utf8')));
    expect(contents).toEqual(['some bytes', 'other', '']);
  });

  it.each([
    ['../evil.jpg', '".."'],
    ['ants/../../evil.jpg', '".."'],
    ['ants/..', '".."'],
    ['/etc/evil.jpg', 'absolute'],
    ['//host/share/evil.jpg', 'absolute'],
    ['..\\evil.jpg', 'backslash'],
    ['ants\\evil.jpg', 'backslash'],
    ['C:evil.jpg', 'drive letter'],
    ['c:/evil.jpg', 'drive letter'],
  ])('refuses an entry named %s, and writes nothing outside', async (name, reason) => {
    const archive = await make([
      { name: 'ants/1.jpg', data: DATA },
      { name, data: DATA },
    ]);
    const error = await errorOf(unpack(kind, archive));
    expect(error.code).toBe('archive_unsafe');
    expect(error.details?.entry).toBe(name);
    expect(error.message).toContain(JSON.stringify(name));
    expect(error.message).toContain(reason);
    expect((await readdir(root)).sort()).toEqual([kind, 'out'].sort());
    expect(await readdir(join(root, 'out'))).toEqual(['dataset']);
  });

  it('refuses a name that is there twice', async () => {
    const archive = await make([
      { name: 'ants/1.jpg', data: DATA },
      { name: './ants/1.jpg', data: DATA },
    ]);
    expect((await errorOf(unpack(kind, archive))).message).toContain('twice');
  });

  it('leaves out a file larger than a picture may be, and goes on', async () => {
    // Random bytes, so that the ratio stays low.
    const large = Buffer.alloc(LIMITS.pictureBytes + 1);
    let state = 1;
    for (let i = 0; i < large.length; i++)
      large[i] = (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24;
    const archive = await make([
      { name: 'ants/large.jpg', data: large },
      { name: 'ants/1.jpg', data: DATA },
    ]);
    const { files, refused } = await unpack(kind, archive);
    expect(files.map(({ path }) => path)).toEqual(['ants/1.jpg']);
    expect(refused).toEqual([
      { path: 'ants/large.jpg', reason: expect.stringContaining('25000001 bytes') as string },
    ]);
    expect(await readdir(join(root, 'out/dataset'))).toHaveLength(1);
  });

  it('says that a damaged archive cannot be read', async () => {
    const archive = await make([{ name: 'ants/1.jpg', data: Buffer.alloc(4000, 'abcdefg') }]);
    const error = await errorOf(unpack(kind, archive.subarray(0, Math.floor(archive.length / 2))));
    expect(error.code).toBe('dataset_invalid');
    expect(error.message).toContain(`s3://bucket/${kind} cannot be read`);
  });

  it('says so of a file that is no archive at all', async () => {
    const error = await errorOf(unpack(kind, Buffer.from('<html>404 Not Found</html>'.repeat(50))));
    expect(error.code).toBe('dataset_invalid');
  });

  it('stops when it is told to, with the reason', async () => {
    const reason = new AppError('canceled', 'The job was canceled.');
    const archive = await make([{ name: 'ants/1.jpg', data: DATA }]);
    expect(await errorOf(unpack(kind, archive, AbortSignal.abort(reason)))).toBe(reason);
  });
});

describe('bombs', () => {
  it.each(KINDS.filter(({ kind }) => kind !== 'data.tar'))(
    'refuses a $kind that expands beyond the ratio, before it has written it all',
    async ({ kind, make }) => {
      const zeros = Buffer.alloc(15_000_000);
      const archive = await make([{ name: 'ants/zeros.jpg', data: zeros }]);
      const error = await errorOf(unpack(kind, archive));
      expect(error.code).toBe('archive_unsafe');
      expect(error.message).toContain('100 times');
    },
  );

  it('does not believe a size that a zip declares', async () => {
    const data = Buffer.alloc(15_000_000);
    const archive = makeZip([{ name: 'ants/zeros.jpg', data, declaredSize: 10 }]);
    const error = await errorOf(unpack('data.zip', archive));
    expect(['archive_unsafe', 'dataset_invalid']).toContain(error.code);
    expect((await readdir(join(root, 'out/dataset'))).length).toBeLessThanOrEqual(1);
  });
});

describe('links and devices', () => {
  it.each(['symlink', 'link', 'fifo', 'character-device', 'block-device'] as const)(
    'refuses a %s in a tar',
    async (type) => {
      const archive = await makeTar([
        { name: 'ants/1.jpg', data: DATA },
        { name: 'ants/odd.jpg', type, linkname: '/etc/passwd' },
      ]);
      const error = await errorOf(unpack('data.tar', archive));
      expect(error.code).toBe('archive_unsafe');
      expect(error.details).toEqual({ entry: 'ants/odd.jpg', reason: `it is of type ${type}` });
    },
  );

  it.each([0o120777, 0o020644, 0o010644])('refuses mode %o in a zip', async (mode) => {
    const archive = makeZip([{ name: 'ants/odd.jpg', data: Buffer.from('/etc/passwd'), mode }]);
    const error = await errorOf(unpack('data.zip', archive));
    expect(error.code).toBe('archive_unsafe');
    expect(error.details).toEqual({ entry: 'ants/odd.jpg', reason: 'it is a link or a device' });
  });

  it('takes plain files and folders with their modes', async () => {
    const archive = makeZip([
      { name: 'ants/', mode: 0o040755 },
      { name: 'ants/1.jpg', data: DATA, mode: 0o100644 },
    ]);
    expect((await unpack('data.zip', archive)).files).toHaveLength(1);
  });
});

it('refuses a NUL in a zip name', async () => {
  const error = await errorOf(unpack('data.zip', makeZip([{ name: 'ants/1.jpg\0.png', data: DATA }])));
  expect(error.code).toBe('archive_unsafe');
  expect(error.message).toContain('NUL');
});

it('says that an encrypted zip cannot be read', async () => {
  const archive = makeZip([{ name: 'ants/1.jpg', data: DATA, encrypted: true }]);
  const error = await errorOf(unpack('data.zip', archive));
  expect(error.code).toBe('dataset_invalid');
  expect(error.message).toContain('encrypted');
});
