import { readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openKnownPictures } from '../../../packages/dataset/dist/verify/known.js';
import { LIMITS, openBelow } from '../../support/dataset.js';
import { pngOf, pngs, writeTree } from '../../support/pictures.js';
import { temporaryFolder } from '../../support/training.js';

const digest = (index: number) => index.toString(16).padStart(64, '0');

async function setUp(): Promise<{ root: string; knownDir: string }> {
  const root = await temporaryFolder();
  await mkdir(join(root, 'data'));
  const bad = { 'ants/bad.png': 'no picture' };
  await writeTree(join(root, 'data'), { ...(await pngs('ants', 5)), ...(await pngs('bees', 5, 50)), ...bad });
  return { root, knownDir: join(root, 'known') };
}

async function knownFile(knownDir: string): Promise<string> {
  const [name] = await readdir(knownDir);
  return join(knownDir, name!);
}

it('a data set that was opened before opens the same, and its refused files are refused again', async () => {
  const { root, knownDir } = await setUp();
  const first = await openBelow(root, { knownDir });
  const kept = await readFile(await knownFile(knownDir));
  const second = await openBelow(root, { knownDir });
  expect(second).toEqual(first);
  expect(second.report.refused.map(({ path }) => path)).toEqual(['ants/bad.png']);
  // Nothing was added: nothing but the refused file was decoded.
  expect(await readFile(await knownFile(knownDir))).toEqual(kept);
  expect(kept).toHaveLength(10 * 40);
});

it('a file that was changed is decoded anew', async () => {
  const { root, knownDir } = await setUp();
  await openBelow(root, { knownDir });
  const file = join(root, 'data', 'ants', '000.png');
  const bytes = await readFile(file);
  await writeFile(file, bytes.subarray(0, bytes.length - 20));
  const { report } = await openBelow(root, { knownDir });
  expect(report.refused.map(({ path }) => path)).toEqual(['ants/000.png', 'ants/bad.png']);
});

it('a folder that nothing can be written to keeps no data set from being opened', async () => {
  const { root } = await setUp();
  const { report } = await openBelow(root, { knownDir: join(root, 'data', 'ants', '000.png', 'known') });
  expect(report.refused.map(({ path }) => path)).toEqual(['ants/bad.png']);
});

it.runIf(process.platform === 'linux')(
  'no picture is refused for decoders that died while they waited',
  async () => {
    const root = await temporaryFolder();
    await mkdir(join(root, 'data'));
    const knownDir = join(root, 'known');
    await writeTree(join(root, 'data'), { ...(await pngs('b', 40)), ...(await pngs('c', 40, 50)) });
    await openBelow(root, { knownDir });
    await writeTree(join(root, 'data'), { ...(await pngs('a', 2, 100)), 'c/last.png': await pngOf(150) });
    // Where the middle is recalled, what has decoded the beginning waits.
    const killed: number[] = [];
    const { report } = await openBelow(root, {
      knownDir,
      onProgress({ done }) {
        if (done !== 80) return;
        killed.push(...decoderPids());
        for (const pid of killed) process.kill(pid, 'SIGKILL');
      },
    });
    expect(killed.length).toBeGreaterThan(0);
    expect(report.refused).toEqual([]);
  },
);

/** Of this process. */
function decoderPids(): number[] {
  return readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8')
    .split(' ')
    .filter(
      (pid) => pid !== '' && readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('headstart-decoder'),
    )
    .map(Number);
}

it('other limits know nothing', async () => {
  const { root, knownDir } = await setUp();
  await openBelow(root, { knownDir });
  const { report } = await openBelow(root, { knownDir, limits: { ...LIMITS, pictureSidePx: 40 } });
  expect(report.pictures).toEqual({ train: 8, val: 2 });
  expect(await readdir(knownDir)).toHaveLength(2);
});

it.each(['flipped', 'cut'])('a %s file is not believed', async (damage) => {
  const knownDir = await temporaryFolder();
  const known = await openKnownPictures(knownDir, LIMITS);
  for (let i = 0; i < 3; i++) known.add(digest(i), 'png');
  await known.save();
  const file = await knownFile(knownDir);
  if (damage === 'cut') await truncate(file, 100);
  else {
    const bytes = await readFile(file);
    bytes[45]! ^= 1;
    await writeFile(file, bytes);
  }
  expect((await openKnownPictures(knownDir, LIMITS)).isEmpty).toBe(true);
  const again = await openKnownPictures(knownDir, LIMITS);
  again.add(digest(1), 'jpeg');
  await again.save();
  expect((await openKnownPictures(knownDir, LIMITS)).formatOf(digest(1))).toBe('jpeg');
  await rm(knownDir, { recursive: true });
});

it('what is used is kept, and what is not goes in the end', async () => {
  const knownDir = await temporaryFolder();
  for (let round = 0; round < 4; round++) {
    const known = await openKnownPictures(knownDir, LIMITS);
    expect(known.formatOf(digest(7))).toBe(round === 0 ? undefined : 'png');
    known.add(digest(7), 'png');
    for (let i = 0; i < 60_000; i++) known.add(digest(1000 + round * 60_000 + i), 'png');
    await known.save();
  }
  const known = await openKnownPictures(knownDir, LIMITS);
  expect(known.formatOf(digest(7))).toBe('png');
  expect(known.formatOf(digest(1000))).toBeUndefined();
  expect(known.formatOf(digest(1000 + 3 * 60_000))).toBe('png');
});
