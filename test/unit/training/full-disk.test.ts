import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { AppError } from '@headstart/contracts';
import { selectEngine } from '@headstart/engines';
import { buildNetwork } from '@headstart/training';
import { beforeAll, beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { writeKerasFile } from '../../../packages/training/src/keras-file.js';
import { mountSmallDisk } from '../../support/small-disk.js';
import { cacheAt, planFor, randomBase, temporaryFolder, trainDrawn } from '../../support/training.js';

/** What a file may still have written to it, for files of the feature cache. */
let leftBytes = Infinity;

vi.mock(import('node:fs/promises'), async (original) => {
  const real = await original();
  const open: typeof real.open = async (path, flags) => {
    const handle = await real.open(path, flags);
    if (flags !== 'wx+') return handle;
    const write = handle.write.bind(handle) as (bytes: Uint8Array, ...rest: number[]) => Promise<unknown>;
    return Object.assign(handle, {
      write(bytes: Uint8Array, ...rest: number[]) {
        if (bytes.length > leftBytes)
          return Promise.reject(Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' }));
        leftBytes -= bytes.length;
        return write(bytes, ...rest);
      },
    });
  };
  return { ...real, open };
});

const plan = planFor({
  scenario: 'small-different',
  model: { featureLayer: 'block1_pool', head: [] },
  training: { epochs: 1, batchSize: 5 },
});
/** float32 [64], pooled, of 18 pictures. */
const ROWS_BYTES = 18 * 64 * 4;

let directory: string;
beforeAll(async () => {
  await selectEngine('wasm', { trainsConvolutions: false });
});
beforeEach(async () => {
  directory = await temporaryFolder();
});

it.each([
  ['any row', 1000],
  ['the last row', ROWS_BYTES - 1],
  ['the index behind the rows', ROWS_BYTES],
])('features leave nothing on a disk that has no room for %s', async (_, room) => {
  leftBytes = room;
  const run = trainDrawn(plan, { featureCache: cacheAt(directory) });
  await expect(run).rejects.toMatchObject({ code: 'ENOSPC' });
  const names = readdirSync(directory, { recursive: true, withFileTypes: true });
  expect(names.filter((entry) => entry.isFile()).map(({ name }) => name)).toEqual([]);
});

it.for([
  ['half of it', 0.5],
  ['all but the end of it', 0.99],
] as const)('a Keras file is not taken for whole where the disk takes %s', async ([, share], { skip }) => {
  const network = buildNetwork(plan, await randomBase(plan));
  onTestFinished(() => network.dispose());
  const whole = join(directory, 'model.h5');
  await writeKerasFile(whole, network);
  const small = await temporaryFolder();
  const refusal = await mountSmallDisk(small, Math.floor(statSync(whole).size * share));
  if (refusal) return skip(refusal);
  const writing = writeKerasFile(join(small, 'model.h5'), network);
  const error: unknown = await writing.then(
    () => 'none',
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ code: 'ENOSPC' });
  expect(AppError.from(error).code).toBe('disk_full');
});
