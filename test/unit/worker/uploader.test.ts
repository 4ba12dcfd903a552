import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@headstart/contracts';
import type { SavedCheckpoint } from '@headstart/training';
import { createUploader, Superseded, type UploaderOptions } from '@headstart/worker';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../../support/training.js';

const away = (retryable = true) => new AppError('storage_unavailable', 'It is away.', { retryable });
const LONG_MS = 60_000;
const NEVER = new AbortController().signal;

/** An uploader over checkpoints that lie in a folder, one per epoch. */
async function setUp({ upload, ...options }: Pick<UploaderOptions, 'upload'> & Partial<UploaderOptions>) {
  const folder = await temporaryFolder();
  const uploaded: number[] = [];
  const failures: string[] = [];
  const uploader = createUploader({
    async upload(checkpoint) {
      await upload(checkpoint);
      uploaded.push(checkpoint.epoch);
    },
    onFailed: ({ message }) => failures.push(message),
    lateAfterMs: LONG_MS,
    signal: NEVER,
    ...options,
  });
  const add = async (epoch: number, isBest = false) => {
    const directory = join(folder, `${epoch}`);
    await mkdir(directory);
    uploader.add({ directory, epoch, step: 0, isBest });
  };
  return { folder, uploader, uploaded, failures, add };
}

it('uploads one by one, in their order, and removes what is up', async () => {
  const { folder, uploader, uploaded, add } = await setUp({ upload: () => Promise.resolve() });
  await add(1);
  await uploader.settled();
  await add(2);
  await uploader.drain(LONG_MS, NEVER);
  expect(uploaded).toEqual([1, 2]);
  expect(await readdir(folder)).toEqual([]);
});

it('keeps no more than the one under way, the newest and the best, however long that takes', async () => {
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  const { folder, uploader, uploaded, add } = await setUp({ upload: () => opened });
  for (const epoch of [1, 2, 3, 4, 5]) await add(epoch, epoch === 3);
  await expect.poll(() => readdir(folder)).toEqual(['1', '3', '5']);
  open();
  await uploader.drain(LONG_MS, NEVER);
  expect(uploaded).toEqual([1, 3, 5]);
  expect(await readdir(folder)).toEqual([]);
});

it('tries again what failed, and says so, or else the newer one that came meanwhile', async () => {
  const tried: number[] = [];
  const upload = async ({ epoch }: SavedCheckpoint) => {
    tried.push(epoch);
    if (tried.length <= 2) throw away();
  };
  const { uploader, uploaded, failures, add } = await setUp({ upload });
  await add(1);
  await expect.poll(() => failures).toHaveLength(1);
  await add(2);
  await uploader.drain(LONG_MS, NEVER);
  expect(tried).toEqual([1, 2, 2]);
  expect(uploaded).toEqual([2]);
  expect(failures).toEqual(['It is away.', 'It is away.']);
});

it('gives up when its patience is at an end, or at once where no patience helps', async () => {
  for (const [patienceMs, retryable] of [
    [0, true],
    [LONG_MS, false],
  ] as const) {
    const { uploader, add } = await setUp({ upload: () => Promise.reject(away(retryable)) });
    await add(1);
    await expect(uploader.drain(patienceMs, NEVER)).rejects.toThrow('It is away.');
  }
});

it('says that an upload takes long before it has failed', async () => {
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  const { uploader, uploaded, failures, add } = await setUp({ upload: () => opened, lateAfterMs: 50 });
  await add(1);
  await expect.poll(() => failures).toEqual([expect.stringContaining('0.05 s')]);
  open();
  await uploader.drain(LONG_MS, NEVER);
  expect(uploaded).toEqual([1]);
});

it('ends the training of an attempt that was superseded', async () => {
  const { uploader, add } = await setUp({ upload: () => Promise.reject(new Superseded('Another has it.')) });
  await add(1);
  await expect.poll(() => uploader.lost.aborted).toBe(true);
  expect(uploader.lost.reason).toBeInstanceOf(Superseded);
  await expect(uploader.drain(LONG_MS, NEVER)).rejects.toBeInstanceOf(Superseded);
});

it('stops where what is not up is not wanted any more', async () => {
  const unwanted = new AbortController();
  const { uploader, failures, add } = await setUp({
    upload: () => Promise.reject(away()),
    signal: unwanted.signal,
  });
  await add(1);
  await expect.poll(() => failures).toHaveLength(1);
  unwanted.abort();
  await uploader.settled();
  expect(failures).toHaveLength(1);
});

it('ends the waiting when it is told to, and goes on uploading', async () => {
  let arrive = () => {};
  const { uploader, uploaded, add } = await setUp({
    upload: () => new Promise((resolve) => (arrive = resolve)),
  });
  await add(1);
  const stop = new AbortController();
  const drained = uploader.drain(LONG_MS, stop.signal);
  stop.abort(new Error('enough'));
  await expect(drained).rejects.toThrow('enough');
  expect(uploaded).toEqual([]);
  arrive();
  await uploader.settled();
  expect(uploaded).toEqual([1]);
});
