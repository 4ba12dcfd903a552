import { createReserve } from '@headstart/worker';
import { pino } from 'pino';
import { expect, it } from 'vitest';

const CHOICE = { engine: 'wasm', engineSharers: 1, cacheDir: '/tmp' } as const;

it('outlives a system that starts no process for it: the job that has just ended must not pay for that', () => {
  const log: string[] = [];
  const logger = pino({}, { write: (line) => log.push(line) });
  // More than the system hands to any process: the start fails as it does for want of memory.
  const reserve = createReserve({ TOO_MUCH: 'x'.repeat(16 * 1024 * 1024) }, logger);
  reserve.refill(CHOICE);
  expect(log.join()).toContain('E2BIG');
  expect(() => reserve.take(CHOICE)).toThrow('E2BIG');
  reserve.close();
});
