import { stat } from 'node:fs/promises';
import { expect, it, vi } from 'vitest';
import { readCheckpoint, writeCheckpoint } from '../../../packages/training/src/checkpoint.js';
import { temporaryFolder } from '../../support/training.js';

/** In place of the 2 GiB that Node hashes and reads at once. */
const AT_ONCE = 65 * 1024 * 1024;

vi.mock(import('node:crypto'), async (original) => {
  const real = await original();
  const createHash = (algorithm: string) => {
    const hash = real.createHash(algorithm);
    const update: (data: string | Uint8Array) => unknown = hash.update.bind(hash);
    return Object.assign(hash, {
      update(data: string | Uint8Array) {
        if (data.length > AT_ONCE) throw new RangeError('data is too long');
        return update(data);
      },
    });
  };
  return { ...real, createHash };
});

vi.mock(import('node:fs/promises'), async (original) => {
  const real = await original();
  const readFile = async (path: string) => {
    if ((await real.stat(path)).size > AT_ONCE) throw new RangeError('File size is greater than 2 GiB');
    return real.readFile(path);
  };
  return { ...real, readFile: readFile as typeof real.readFile };
});

it('a checkpoint may be larger than what is hashed or read at once', async () => {
  const directory = await temporaryFolder();
  const values = new Float32Array(AT_ONCE / 4 + 1000).map((_, index) => index);
  const weights = new Map([['head_dense_1/kernel', { shape: [values.length], values }]]);
  const digest = await writeCheckpoint(directory, {
    epoch: 1,
    running: null,
    seed: 0,
    runDigest: 'run',
    featureScale: 1,
    weights,
    optimizer: { type: 'sgd', step: 3, slots: new Map() },
    metrics: [],
    best: null,
  });
  expect((await stat(`${directory}/weights.bin`)).size).toBeGreaterThan(AT_ONCE);
  const { checkpoint, stateDigest } = await readCheckpoint(directory);
  expect(stateDigest).toBe(digest);
  expect(
    Buffer.from(checkpoint.weights.get('head_dense_1/kernel')!.values.buffer).equals(
      Buffer.from(values.buffer),
    ),
  ).toBe(true);
  expect(checkpoint.optimizer.slots.size).toBe(0);
});
