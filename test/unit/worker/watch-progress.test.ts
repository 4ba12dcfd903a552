import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { platform } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { watchProgress } from '@headstart/worker';
import { afterEach, expect, it } from 'vitest';

const LIMIT_MS = 1000;

let child: ChildProcess;
let stalled: Promise<string>;
let watch: ReturnType<typeof watchProgress>;

/** Starts a process that says that it runs, then runs `script`, and watches it. */
async function start(script: string): Promise<void> {
  child = spawn(process.execPath, ['-e', `console.log('runs'); ${script}`]);
  if (!child.stdout) throw new Error('no stdout');
  await once(child.stdout, 'data');
  stalled = new Promise((resolve) => {
    watch = watchProgress(child.pid, LIMIT_MS, () => resolve('stalled'));
  });
}

const within = (ms: number) => Promise.race([stalled, delay(ms, 'not stalled')]);

afterEach(() => {
  watch.end();
  child.kill('SIGKILL');
});

it('finds a process that waits for ever, and not before its time', async () => {
  await start('setInterval(() => undefined, 100);');
  const startMs = performance.now();
  expect(await within(30_000)).toBe('stalled');
  expect(performance.now() - startMs).toBeGreaterThan(LIMIT_MS * 0.9);
});

it('leaves a process alone that computes and says nothing', async ({ skip }) => {
  skip(platform() !== 'linux', 'needs /proc');
  await start('setTimeout(() => { for (;;); }, 0);');
  expect(await within(3 * LIMIT_MS)).toBe('not stalled');
  child.kill('SIGSTOP');
  expect(await within(30_000)).toBe('stalled');
});

it('leaves a process alone that reports', async () => {
  await start('setInterval(() => undefined, 100);');
  const reports = setInterval(() => watch.progressed(), LIMIT_MS / 4);
  expect(await within(3 * LIMIT_MS)).toBe('not stalled');
  clearInterval(reports);
  expect(await within(30_000)).toBe('stalled');
});
