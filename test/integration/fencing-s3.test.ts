import { selectEngine } from '@headstart/engines';
import { beforeAll, expect, test } from 'vitest';
import { CHANGES, drawCheckpoints, expectOnePublished, gate, runAttempt } from '../support/attempts.js';
import { useS3 } from '../support/s3-suite.js';
import { keysOf } from '../support/storage.js';

const { openOwn } = useS3();

beforeAll(async () => {
  await selectEngine('wasm', { trainsConvolutions: false });
});

test('one of two attempts publishes in a bucket, wherever the first is stopped and wakes up when the second has finished', async () => {
  const drawn = await drawCheckpoints(3);
  const attempts = new Set<number>();
  for (let stopAt = 0; stopAt < CHANGES; stopAt++) {
    const { stores, store } = openOwn();
    const first = gate(store, stopAt);
    const firstEnd = runAttempt(stores, first.store, 1, drawn);
    await Promise.race([first.reached, firstEnd]);
    const secondEnd = await runAttempt(stores, store, 2, drawn);
    first.open();
    const { attempt } = await expectOnePublished(store, [await firstEnd, secondEnd]);
    attempts.add(attempt);
  }
  expect([...attempts].sort()).toEqual([1, 2]);
});

test('copies within a bucket, whatever the names, and says where there is nothing to copy', async () => {
  const { store } = openOwn();
  await store.write('a b/ü+%2F?.txt', Buffer.from('same'), { contentType: 'text/plain' });
  await store.copy('a b/ü+%2F?.txt', 'copies/ü+%2F?.txt');
  await store.copy('a b/ü+%2F?.txt', 'copies/ü+%2F?.txt');
  expect(await keysOf(store)).toEqual(['a b/ü+%2F?.txt', 'copies/ü+%2F?.txt']);
  expect(Buffer.from(await store.readBytes('copies/ü+%2F?.txt', 100)).toString()).toBe('same');
  await expect(store.copy('none', 'copies/none')).rejects.toMatchObject({ code: 'storage_not_found' });
});
