import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatasetLimits } from '@headstart/dataset';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it, type TestContext } from 'vitest';
import { makeZip } from '../support/archives.js';
import { LIMITS } from '../support/dataset.js';
import { apng, jpegOfScans, pngOfSize } from '../support/hostile-pictures.js';
import { type MeasuredOpen, openMeasured } from '../support/measured-open.js';
import { noisyJpeg, plainPicture, pngs, writeTree } from '../support/pictures.js';

const MB = 1_000_000;
const DECODE_CONCURRENCY = 4;
/** Node and libvips, once for the data set and once for each of up to four decoders; none has a large picture. */
const IDLE_BYTES = 600 * MB;

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'headstart-hostile-'));
});
afterEach(() => rm(root, { recursive: true }));

/** Opens two good classes with one hostile file in the first. */
async function openWith(
  { annotate }: TestContext,
  picture: Buffer,
  { limits = LIMITS, maxMemoryBytes = IDLE_BYTES }: { limits?: DatasetLimits; maxMemoryBytes?: number } = {},
): Promise<MeasuredOpen & { reason: string | null }> {
  await writeTree(join(root, 'data'), {
    ...(await pngs('ants', 5)),
    ...(await pngs('bees', 5, 50)),
    'ants/hostile.png': picture,
  });
  const run = await openMeasured(root, 'data', limits);
  const reason = run.report?.refused[0]?.reason ?? null;
  await annotate(
    `${run.error?.code ?? reason ?? 'used'} (${run.seconds.toFixed(1)} s, memory ${Math.round((run.peakMemoryBytes ?? 0) / MB)} MB, disk ${run.peakDiskBytes / MB} MB)`,
  );
  expect(run.error).toBeNull();
  expect(run.writtenOutside).toEqual([]);
  // The folder is read in place.
  expect(run.peakDiskBytes).toBe(0);
  if (run.peakMemoryBytes !== null) expect(run.peakMemoryBytes).toBeLessThan(maxMemoryBytes);
  const { train, val } = run.report!.pictures;
  expect(train + val).toBe(reason === null ? 11 : 10);
  return { ...run, reason };
}

describe('sizes that are not true', () => {
  it.for([
    ['a PNG', () => pngOfSize(65_535, 65_535)],
    ['a JPEG', () => Promise.resolve(jpegOfScans(65_500, 1))],
  ] as const)('%s of a few bytes and 65,535 pixels a side', async ([, make], context) => {
    expect((await openWith(context, await make())).reason).toBe('it has more than 50 megapixels');
  });

  it('a PNG longer than the longest side', async (context) => {
    const { reason } = await openWith(context, await pngOfSize(65_535, 2));
    expect(reason).toBe('it is 65535x2; at most 10240 pixels a side are read');
  });
});

describe('pictures that cost too much', () => {
  const scans = jpegOfScans(7000, 5000);

  it('a JPEG of five thousand scans, in processor time', async (context) => {
    expect(scans.length).toBeLessThan(MB);
    const limits = { ...LIMITS, decodeSeconds: 2 };
    const { reason, seconds } = await openWith(context, scans, { limits });
    expect(reason).toBe('decoding it takes more than 2 seconds of processor time');
    // Alone it is two seconds and the start of three processes.
    expect(seconds).toBeLessThan(60);
  });

  it('a large progressive JPEG, in memory', async (context) => {
    const limits = { ...LIMITS, decodeMemoryBytes: 200 * MB };
    const large = await plainPicture({ r: 9, g: 99, b: 199 }, 7000, 7000)
      .jpeg({ progressive: true, chromaSubsampling: '4:4:4' })
      .toBuffer();
    const { reason } = await openWith(context, large, { limits });
    expect(reason).toBe('decoding it takes more than 200 MB of memory');
  });

  it('a folder full of them is given up', async () => {
    const large = await plainPicture({ r: 9, g: 99, b: 199 }, 5000, 5000).jpeg().toBuffer();
    const names = Array.from({ length: 25 }, (_, index) => `ants/${index}.jpg`);
    await writeTree(join(root, 'data'), {
      ...Object.fromEntries(names.map((name) => [name, large])),
      ...(await pngs('bees', 100)),
    });
    const { error, ...run } = await openMeasured(root, 'data', { ...LIMITS, decodeMemoryBytes: MB });
    expect(run.writtenOutside).toEqual([]);
    expect(run.peakDiskBytes).toBe(0);
    // Decoders are stopped when they are looked at, by when each may have decoded one.
    if (run.peakMemoryBytes !== null)
      expect(run.peakMemoryBytes).toBeLessThan(IDLE_BYTES + DECODE_CONCURRENCY * 5000 * 5000 * 3 * 2);
    expect(error?.code).toBe('dataset_invalid');
    expect(error?.detail).toContain('More than 20 pictures cost too much to decode');
  });

  it('the largest that are read stay within the memory of one decoder', async (context) => {
    const sixteenBits = await sharp({
      create: { width: 7000, height: 7000, channels: 4, background: { r: 9, g: 99, b: 199, alpha: 0.5 } },
    })
      .toColourspace('rgb16')
      .png({ progressive: true, compressionLevel: 1 })
      .toBuffer();
    const { reason } = await openWith(context, sixteenBits, {
      maxMemoryBytes: IDLE_BYTES + LIMITS.decodeMemoryBytes,
    });
    expect(reason).toBeNull();
  });
});

describe('files that are not whole, or more than one thing', () => {
  it.for(['jpeg', 'png', 'webp', 'gif'] as const)('a truncated %s', async (format, context) => {
    const whole = await sharp(await noisyJpeg())
      .toFormat(format)
      .toBuffer();
    const { reason } = await openWith(context, whole.subarray(0, whole.length * 0.6));
    expect(reason).toContain(`its ${format.toUpperCase()} data is damaged or cut short`);
  });

  it('a JPEG that is a zip from behind is a picture, and nothing is unpacked', async (context) => {
    const zip = makeZip([{ name: '../../evil.jpg', data: Buffer.alloc(10 * MB) }]);
    expect((await openWith(context, Buffer.concat([await noisyJpeg(), zip]))).reason).toBeNull();
  });

  it.for([
    ['a GIF that is a script', Buffer.from('GIF89a/*\0*/=1;alert(1)//'), 'its GIF data is damaged'],
    ['a picture in a PDF', 'PDF', 'it is a PDF'],
    ['an SVG that names a file', '<svg><image href="file:///etc/passwd"/></svg>', 'it is text'],
    ['a zip by another name', makeZip([{ name: 'a.png' }]), 'it is an archive within the data set'],
  ] as const)('%s', async ([, content, message], context) => {
    const bytes =
      content === 'PDF'
        ? Buffer.concat([Buffer.from('%PDF-1.7\n'), await noisyJpeg()])
        : Buffer.from(content);
    expect((await openWith(context, bytes)).reason).toContain(message);
  });
});

describe('pictures that are more than one, or turned', () => {
  it.for(['gif', 'webp'] as const)(
    'a %s of a thousand frames costs as much as its first',
    async (format, context) => {
      const frame = await plainPicture({ r: 200, g: 0, b: 0 }, 400, 400).png().toBuffer();
      const other = await plainPicture({ r: 0, g: 0, b: 200 }, 400, 400).png().toBuffer();
      const frames = Array.from({ length: 1000 }, (_, index) => (index % 2 ? other : frame));
      const animation = await sharp(frames, { join: { animated: true } })
        .toFormat(format, { effort: 1, minSize: false })
        .toBuffer();
      // All frames decoded would be 480 MB.
      expect((await openWith(context, animation)).reason).toBe(
        format === 'gif'
          ? 'it is a GIF in a class of 5 pictures of other formats, so probably a placeholder or an icon; convert it to PNG or JPEG if it belongs'
          : null,
      );
    },
  );

  it('an APNG is a PNG', async (context) => {
    const animation = await apng({ r: 200, g: 0, b: 0 }, { r: 0, g: 0, b: 200 });
    expect((await openWith(context, animation)).reason).toBeNull();
  });

  it('a JPEG that EXIF turns is used as it is stored', async (context) => {
    const turned = await plainPicture({ r: 200, g: 0, b: 0 })
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toBuffer();
    expect((await openWith(context, turned)).reason).toBeNull();
  });
});

it('fails a data set of which too much was refused, before it is trained on', async () => {
  const bad = Object.fromEntries([0, 1, 2].map((index) => [`ants/${index}.jpg`, 'text']));
  await writeTree(join(root, 'data'), { ...(await pngs('ants', 5)), ...(await pngs('bees', 5, 50)), ...bad });
  const { error } = await openMeasured(root, 'data', LIMITS);
  expect(error).toMatchObject({ code: 'dataset_invalid', retryable: false });
  expect(error?.detail).toContain(
    '3 of the data set\'s 13 files were refused, "ants/0.jpg" because it is text',
  );
  expect(error?.detail).toContain('At most 20 % may be');
  const { report } = await openMeasured(root, 'data', { ...LIMITS, refusedShare: 0.3 });
  expect(report?.refusedShare).toBeCloseTo(3 / 13);
});
