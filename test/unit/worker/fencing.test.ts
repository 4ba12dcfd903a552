import { selectEngine } from '@headstart/engines';
import { beforeAll, describe, expect, it } from 'vitest';
import { CHANGES, drawCheckpoints, expectOnePublished, gate, runAttempt } from '../../support/attempts.js';
import { fileSandbox, keysOf } from '../../support/storage.js';

beforeAll(async () => {
  await selectEngine('wasm', { trainsConvolutions: false });
});

describe('of two attempts at one job in a folder', () => {
  it('one is alone with it where nobody is stopped', async () => {
    const { stores, store } = await fileSandbox();
    const drawn = await drawCheckpoints(3);
    const open = gate(store, Infinity);
    const manifest = await expectOnePublished(store, [await runAttempt(stores, open.store, 1, drawn)]);
    expect(open.passed()).toBe(CHANGES);
    const listed = manifest.files.map(({ path }) => path);
    expect((await keysOf(store)).toSorted()).toEqual(
      [...listed, 'attempts/0001.json', 'attempts/0002.json', 'manifest.json'].toSorted(),
    );
    // The same again changes nothing.
    expect(await runAttempt(stores, store, 2, drawn)).toEqual(manifest);
  });

  it('one publishes, wherever the first is stopped and wakes up when the second has finished', async () => {
    const drawn = await drawCheckpoints(3);
    const attempts = new Set<number>();
    for (let stopAt = 0; stopAt < CHANGES; stopAt++) {
      const { stores, store } = await fileSandbox();
      const first = gate(store, stopAt);
      const firstEnd = runAttempt(stores, first.store, 1, drawn);
      await Promise.race([first.reached, firstEnd]);
      const secondEnd = await runAttempt(stores, store, 2, drawn);
      first.open();
      const { attempt } = await expectOnePublished(store, [await firstEnd, secondEnd]);
      attempts.add(attempt);
    }
    expect([...attempts].sort()).toEqual([1, 2]);
  }, 120_000);

  it('one publishes, wherever the second is stopped too while the first wakes up and goes on', async () => {
    const drawn = await drawCheckpoints(3);
    for (let firstStop = 0; firstStop < CHANGES; firstStop++) {
      for (let secondStop = firstStop % 7; secondStop < CHANGES; secondStop += 7) {
        const { stores, store } = await fileSandbox();
        const [first, second] = [gate(store, firstStop), gate(store, secondStop)];
        const firstEnd = runAttempt(stores, first.store, 1, drawn);
        await Promise.race([first.reached, firstEnd]);
        const secondEnd = runAttempt(stores, second.store, 2, drawn);
        await Promise.race([second.reached, secondEnd]);
        first.open();
        await firstEnd;
        second.open();
        await expectOnePublished(store, [await firstEnd, await secondEnd]);
      }
    }
  }, 120_000);

  it('the later claim has it where the queue has counted both as one', async () => {
    const { stores, store } = await fileSandbox();
    const drawn = await drawCheckpoints(3);
    const first = gate(store, 5);
    const firstEnd = runAttempt(stores, first.store, 1, drawn);
    await first.reached;
    const secondEnd = await runAttempt(stores, store, 1, drawn);
    first.open();
    expect(await firstEnd).toBe('superseded');
    await expectOnePublished(store, [await firstEnd, secondEnd]);
  });
});
