import { randomUUID } from 'node:crypto';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeWorkFolder, removeWorkFolder } from '@headstart/worker';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../../support/training.js';

const [OURS, OTHER] = [randomUUID(), randomUUID()];

async function leftBehind(workDir: string, jobId: string, attempt: number): Promise<void> {
  const folder = join(workDir, jobId, `attempt-${attempt}`);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'picture'), 'x');
}

it('removes what attempts that are over left behind, and nothing else', async () => {
  const workDir = await temporaryFolder();
  const [over, active] = [randomUUID(), randomUUID()];
  for (const jobId of [OURS, over, active]) await leftBehind(workDir, jobId, 1);
  await leftBehind(workDir, OURS, 3);
  await mkdir(join(workDir, 'something'));
  const folder = await makeWorkFolder(workDir, OURS, 2, async (jobId) => jobId === over);
  expect(folder).toBe(join(workDir, OURS, 'attempt-2'));
  expect(await readdir(folder)).toEqual([]);
  expect((await readdir(workDir)).sort()).toEqual([OURS, active, 'something'].sort());
  expect((await readdir(join(workDir, OURS))).sort()).toEqual(['attempt-2', 'attempt-3']);
  await removeWorkFolder(folder);
  expect(await readdir(join(workDir, OURS))).toEqual(['attempt-3']);
});

it('leaves an attempt alone that another worker starts while its job is being looked at', async () => {
  const workDir = await temporaryFolder();
  await leftBehind(workDir, OTHER, 1);
  let others = '';
  await makeWorkFolder(workDir, OURS, 1, async () => {
    others = await makeWorkFolder(workDir, OTHER, 2, async () => false);
    await writeFile(join(others, 'picture'), 'x');
    // The state that was asked for before.
    return true;
  });
  expect(await readdir(others)).toEqual(['picture']);
});

it('makes a folder while another worker removes the one around it', async () => {
  const workDir = await temporaryFolder();
  await mkdir(join(workDir, OTHER));
  const [folder] = await Promise.all([
    makeWorkFolder(workDir, OTHER, 2, async () => false),
    ...Array.from({ length: 20 }, () => removeWorkFolder(join(workDir, OTHER, 'attempt-1'))),
  ]);
  expect(await readdir(folder)).toEqual([]);
});
