import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { DatasetLimits } from '@headstart/dataset';
import { afterEach, beforeEach, describe, expect, it, type TestContext } from 'vitest';
import { makeTar, makeZip, type TarEntry } from '../support/archives.js';
import { LIMITS } from '../support/dataset.js';
import {
  boastingTar,
  crowdedZip,
  longHeaderTar,
  nestedZip,
  overlappingZip,
  writeCrowdedTarGz,
  zerosTarGz,
} from '../support/hostile-archives.js';
import { type MeasuredOpen, openMeasured } from '../support/measured-open.js';
import { pngs } from '../support/pictures.js';

const MB = 1_000_000;
/** Node, the libraries and what streams hold at a time, decoders not begun. */
const UNPACKING_BYTES = 250 * MB;
/** The same, and libvips in each of up to four decoders. */
const DECODING_BYTES = 600 * MB;

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'headstart-hostile-'));
  await mkdir(join(root, 'data'));
});
afterEach(() => rm(root, { recursive: true }));

interface Expected {
  code: string;
  message: string;
  maxDiskBytes: number;
  maxMemoryBytes?: number;
  limits?: DatasetLimits;
}

/** Opens the archive as a job does, and holds the answer and the costs to what is expected. */
async function expectRefused(context: TestContext, name: string, expected: Expected): Promise<void> {
  const run = await openMeasured(root, `data/${name}`, expected.limits ?? LIMITS);
  await context.annotate(
    `${run.error?.code}: ${run.error?.detail.slice(0, 160)} (${run.seconds.toFixed(1)} s, memory ${Math.round((run.peakMemoryBytes ?? 0) / MB)} MB, disk ${(run.peakDiskBytes / MB).toFixed(2)} MB)`,
  );
  expect(run.error).toMatchObject({
    code: expected.code,
    retryable: false,
    detail: expect.stringContaining(expected.message) as string,
  });
  expectCosts(run, expected.maxDiskBytes, expected.maxMemoryBytes);
}

function expectCosts(run: MeasuredOpen, maxDiskBytes: number, maxMemoryBytes = UNPACKING_BYTES): void {
  expect(run.writtenOutside).toEqual([]);
  expect(run.peakDiskBytes).toBeLessThanOrEqual(maxDiskBytes);
  if (run.peakMemoryBytes !== null) expect(run.peakMemoryBytes).toBeLessThan(maxMemoryBytes);
}

const put = (name: string, bytes: Uint8Array) => writeFile(join(root, 'data', name), bytes);

/** Two classes that could be trained on, so that nothing else is wrong with the archive. */
async function goodEntries(): Promise<TarEntry[]> {
  const files = { ...(await pngs('ants', 5)), ...(await pngs('bees', 5, 50)) };
  return Object.entries(files).map(([name, data]) => ({ name, data }));
}

const KINDS = [
  { kind: 'zip', make: (entries: TarEntry[]) => Promise.resolve(makeZip(entries)) },
  { kind: 'tar', make: makeTar },
  { kind: 'tar.gz', make: async (entries: TarEntry[]) => gzipSync(await makeTar(entries)) },
];

describe.each(KINDS)('names in a .$kind', ({ kind, make }) => {
  it.for([
    ['../../../evil.jpg', '".."'],
    ['ants/../../../../evil.jpg', '".."'],
    ['./../evil.jpg', '".."'],
    ['ants/..', '".."'],
    ['ants/.. /../evil.jpg', '".."'],
    ['ants/.../evil/.. ./x.jpg', '".."'],
    ['ABSOLUTE/evil.jpg', 'absolute path'],
    ['//server/share/evil.jpg', 'absolute path'],
    ['..\\..\\evil.jpg', 'backslash'],
    ['ants\\..\\..\\evil.jpg', 'backslash'],
    ['\\\\?\\C:\\evil.jpg', 'backslash'],
    ['C:/evil.jpg', 'drive letter'],
    ['c:evil.jpg', 'drive letter'],
    ['LONG/evil.jpg', 'longer than 1024 characters'],
  ])('%s is refused', async ([name, message], context) => {
    const evil = name!.replace('ABSOLUTE', root).replace('LONG', 'a/'.repeat(600));
    await put(`set.${kind}`, await make([...(await goodEntries()), { name: evil, data: randomBytes(100) }]));
    const maxDiskBytes = 0.1 * MB;
    await expectRefused(context, `set.${kind}`, { code: 'archive_unsafe', message: message!, maxDiskBytes });
  });

  it('that only look like a way out are names like any other', async () => {
    const odd = ['%2e%2e/%2e%2e/1.png', '\u2024\u2024/2.png', '\uff0e\uff0e/3.png', '~/4.png', '$HOME/5.png'];
    const files = Object.values(await pngs('odd', odd.length, 100));
    const entries = odd.map((name, index) => ({ name: `ants/${name}`, data: files[index]! }));
    await put(`set.${kind}`, await make([...(await goodEntries()), ...entries]));
    const run = await openMeasured(root, `data/set.${kind}`, LIMITS);
    expect(run.report?.classes).toMatchObject([{ class: 'ants' }, { class: 'bees' }]);
    expect(run.report?.pictures).toEqual({ train: 12, val: 3 });
    expectCosts(run, 0.1 * MB, DECODING_BYTES);
  });
});

it('a NUL byte in the name of a zip entry is refused', async (context) => {
  const evil = { name: 'ants/1.png\0/../../evil.jpg', data: randomBytes(100) };
  await put('set.zip', makeZip([...(await goodEntries()), evil]));
  await expectRefused(context, 'set.zip', {
    code: 'archive_unsafe',
    message: 'NUL byte',
    maxDiskBytes: 0.1 * MB,
  });
});

it.for(KINDS)('a .$kind that is cut short is refused', async ({ kind, make }, context) => {
  const noise = { name: 'ants/noise.png', data: randomBytes(0.2 * MB) };
  const whole = await make([...(await goodEntries()), noise]);
  await put(`set.${kind}`, whole.subarray(0, whole.length * 0.6));
  const maxDiskBytes = 0.3 * MB;
  await expectRefused(context, `set.${kind}`, {
    code: 'dataset_invalid',
    message: 'cannot be read',
    maxDiskBytes,
  });
});

describe('links and devices', () => {
  const maxDiskBytes = 0.1 * MB;

  it.for(['symlink', 'link', 'fifo', 'character-device', 'block-device'] as const)(
    'a %s in a tar, and a file that would go through it',
    async (type, context) => {
      const through = { name: 'ants/way/evil.jpg', data: randomBytes(100) };
      await put(
        'set.tar',
        await makeTar([...(await goodEntries()), { name: 'ants/way', type, linkname: root }, through]),
      );
      const message = `it is of type ${type}`;
      await expectRefused(context, 'set.tar', { code: 'archive_unsafe', message, maxDiskBytes });
    },
  );

  it.for([
    ['symbolic link', 0o120777],
    ['character device', 0o020644],
    ['block device', 0o060644],
    ['pipe', 0o010644],
    ['socket', 0o140644],
  ] as const)('a %s in a zip, and a file that would go through it', async ([, mode], context) => {
    const through = { name: 'ants/way/evil.jpg', data: randomBytes(100) };
    const link = { name: 'ants/way', mode, data: Buffer.from(root) };
    await put('set.zip', makeZip([...(await goodEntries()), link, through]));
    const message = 'it is a link or a device';
    await expectRefused(context, 'set.zip', { code: 'archive_unsafe', message, maxDiskBytes });
  });
});

describe('bombs', () => {
  it('a zip by its ratio', async (context) => {
    const zeros = Buffer.alloc(24 * MB);
    const entries = Array.from({ length: 10 }, (_, i) => ({ name: `ants/${i}.png`, data: zeros }));
    await put('set.zip', makeZip(entries));
    const message = 'expand to more than 100 times as many';
    await expectRefused(context, 'set.zip', { code: 'archive_unsafe', message, maxDiskBytes: 30 * MB });
  });

  it('a gigabyte of zeros in a tar.gz', async (context) => {
    const archive = await zerosTarGz();
    await put('set.tar.gz', archive);
    const message = 'expand to more than 100 times as many';
    const maxDiskBytes = LIMITS.pictureBytes;
    await expectRefused(context, 'set.tar.gz', { code: 'archive_unsafe', message, maxDiskBytes });
  });

  it('a zip whose entries are all the same bytes', async (context) => {
    await put('set.zip', overlappingZip(5000, randomBytes(0.5 * MB)));
    const message = 'its entries claim more than its';
    await expectRefused(context, 'set.zip', { code: 'archive_unsafe', message, maxDiskBytes: MB });
  });

  it('a zip whose entries are all the same zeros', async (context) => {
    await put('set.zip', overlappingZip(5000, Buffer.alloc(24 * MB)));
    await expectRefused(context, 'set.zip', {
      code: 'archive_unsafe',
      message: 'expand to more than 100 times as many',
      maxDiskBytes: 60 * MB,
    });
  });

  it('a tar.gz that expands to more than may be, below the ratio', async (context) => {
    const files = Array.from({ length: 8 }, (_, i) => ({ name: `ants/${i}.png`, data: randomBytes(MB) }));
    await put('set.tar.gz', gzipSync(await makeTar(files)));
    await expectRefused(context, 'set.tar.gz', {
      code: 'archive_unsafe',
      message: 'it expands to more than 5000000 bytes',
      maxDiskBytes: 5 * MB,
      limits: { ...LIMITS, expandedBytes: 5 * MB },
    });
  });

  it('an archive in an archive in an archive stays packed', async () => {
    const bomb = { name: 'ants/bomb.zip', data: nestedZip() };
    await put('set.zip', makeZip([...(await goodEntries()), bomb]));
    const run = await openMeasured(root, 'data/set.zip', LIMITS);
    expect(run.report?.refused).toMatchObject([
      { path: 'ants/bomb.zip', reason: expect.stringContaining('an archive within the data set') as string },
    ]);
    expectCosts(run, 0.1 * MB, DECODING_BYTES);
  });
});

describe('sizes that are not true', () => {
  it('a zip that declares less than comes', async (context) => {
    const entry = { name: 'ants/zeros.png', data: Buffer.alloc(15 * MB), declaredSize: 10 };
    await put('set.zip', makeZip([entry]));
    const message = 'cannot be read: too many bytes in the stream';
    await expectRefused(context, 'set.zip', { code: 'dataset_invalid', message, maxDiskBytes: MB });
  });

  it('a zip that declares more than comes', async (context) => {
    const entry = { name: 'ants/1.png', data: randomBytes(1000), declaredSize: 4e9 };
    await put('set.zip', makeZip([entry]));
    const message = 'cannot be read: not enough bytes in the stream';
    await expectRefused(context, 'set.zip', { code: 'dataset_invalid', message, maxDiskBytes: MB });
  });

  it('a tar with a file of five terabytes', async (context) => {
    await put('set.tar', await boastingTar());
    const message = 'cannot be read: Unexpected end of data';
    await expectRefused(context, 'set.tar', { code: 'dataset_invalid', message, maxDiskBytes: MB });
  });

  it('a tar with an extended header of 100 MB', async (context) => {
    await put('set.tar', await longHeaderTar(100 * MB));
    const message = 'cannot be read: Header exceeds max size';
    await expectRefused(context, 'set.tar', { code: 'dataset_invalid', message, maxDiskBytes: MB });
  });
});

describe('a million entries', () => {
  it('in a zip, which says so beforehand', async (context) => {
    await put('set.zip', crowdedZip(1_000_000));
    const message = 'it has more than 200000 entries';
    await expectRefused(context, 'set.zip', { code: 'archive_unsafe', message, maxDiskBytes: 0 });
  });

  it('in a tar.gz, which does not', async (context) => {
    await writeCrowdedTarGz(join(root, 'data', 'set.tar.gz'), 1_000_000);
    await expectRefused(context, 'set.tar.gz', {
      code: 'archive_unsafe',
      message: 'it has more than 20000 entries',
      maxDiskBytes: 0,
      limits: { ...LIMITS, archiveEntries: 20_000 },
    });
  });
});
