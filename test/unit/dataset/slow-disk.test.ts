import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { unpackArchive } from '@headstart/dataset';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { makeTar, makeZip } from '../../support/archives.js';
import { errorOf, LIMITS } from '../../support/dataset.js';

/** Files that are made take their time, as on a disk that is busy: whatever is unpacked by then waits for them. */
vi.mock(import('node:fs/promises'), async (original) => {
  const real = await original();
  const open: typeof real.open = async (path, flags) => {
    if (flags === 'wx') await delay(100);
    return real.open(path, flags);
  };
  return { ...real, open };
});

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'headstart-slow-disk-'));
});
afterEach(() => rm(root, { recursive: true }));

async function unpack(name: string, bytes: Uint8Array) {
  await writeFile(join(root, name), bytes);
  return unpackArchive(join(root, name), {
    uri: `s3://bucket/${name}`,
    directory: join(root, 'dataset'),
    limits: LIMITS,
    signal: new AbortController().signal,
  });
}

/** Fails before the file that its entry is for is open: an error that nobody hears ends the process. */
describe('an archive that is found bad while the disk is slow is refused as elsewhere', () => {
  const data = Buffer.alloc(1_000_000);

  it('a zip that declares less than comes', async () => {
    const archive = makeZip([{ name: 'ants/1.png', data, declaredSize: 10 }]);
    const error = await errorOf(unpack('set.zip', archive));
    expect(error.code).toBe('dataset_invalid');
    expect(error.message).toContain('too many bytes in the stream');
  });

  it('a zip whose deflated bytes are damaged', async () => {
    const archive = makeZip([{ name: 'ants/1.png', data }]);
    archive.fill(0xff, 40, 60);
    const error = await errorOf(unpack('set.zip', archive));
    expect(error.code).toBe('dataset_invalid');
    expect(error.message).toMatch(/cannot be read: invalid/);
  });

  it('a tar.gz that is cut short', async () => {
    const archive = gzipSync(await makeTar([{ name: 'ants/1.png', data }]));
    const error = await errorOf(unpack('set.tar.gz', archive.subarray(0, archive.length / 2)));
    expect(error.code).toBe('dataset_invalid');
  });
});
