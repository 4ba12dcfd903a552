import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { REPO_ROOT } from '../../scripts/src/repo.js';

/** Marks a quickstart's processes, at any depth: they inherit it. */
const MARK = 'HEADSTART_TEST_RUN';

interface Run {
  process: ChildProcess;
  lines: string[];
  /** Resolves with the first line, past or future, that matches. */
  line(pattern: RegExp): Promise<string>;
  /** Exit code, once all output has been read. */
  ended: Promise<number | null>;
  /** Command lines of the processes that carry this run's mark. */
  living(): Promise<string[]>;
}

function start(...args: string[]): Run {
  const mark = `${process.pid}-${Date.now()}`;
  const child = spawn(process.execPath, ['scripts/dist/quickstart.js', ...args], {
    cwd: REPO_ROOT,
    env: { ...process.env, [MARK]: mark, REDIS_URL: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  const waiting: { pattern: RegExp; resolve: (line: string) => void }[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      for (const { pattern, resolve } of waiting) if (pattern.test(line)) resolve(line);
    });
  }
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return {
    process: child,
    lines,
    ended,
    line(pattern) {
      const found = lines.find((line) => pattern.test(line));
      if (found !== undefined) return Promise.resolve(found);
      const coming = new Promise<string>((resolve) => waiting.push({ pattern, resolve }));
      const gone = ended.then((code) => {
        throw new Error(`The quickstart ended with code ${code} before ${pattern}:\n${lines.join('\n')}`);
      });
      return Promise.race([coming, gone]);
    },
    living: () => processesWith(`${MARK}=${mark}`),
  };
}

/** @returns the command lines of all processes that have `entry` in their environment. Linux only. */
async function processesWith(entry: string): Promise<string[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    ids.map(async (id) => {
      try {
        const environment = (await readFile(`/proc/${id}/environ`, 'utf8')).split('\0');
        if (!environment.includes(entry)) return [];
        return [(await readFile(`/proc/${id}/cmdline`, 'utf8')).replaceAll('\0', ' ').trim()];
      } catch {
        // It ended meanwhile, or is another user's.
        return [];
      }
    }),
  );
  return found.flat();
}

test('trains a model that is plainly better than chance, shows where it is, and leaves nothing running', async () => {
  const run = start();
  expect(await run.ended, run.lines.join('\n')).toBe(0);
  const output = run.lines.join('\n');
  const accuracy = Number(/Validation accuracy of epoch \d+: (\d+) % \(chance: 25 %\)/.exec(output)?.[1]);
  expect(accuracy).toBeGreaterThanOrEqual(60);
  expect(output).toContain('model/model.json');
  expect(output).toContain('curl -s http://127.0.0.1:');
  expect(await run.living()).toEqual([]);
});

test.for([
  { moment: 'while it draws', line: /^Drawing/ },
  { moment: 'with the service just up', line: /^API and worker are up/ },
  { moment: 'in mid-training', line: /^ {2}Training/ },
])('Ctrl-C $moment leaves nothing running', async ({ line }, { skip }) => {
  if (process.platform !== 'linux') return skip('looks for processes in /proc');
  const run = start();
  await run.line(line);
  run.process.kill('SIGINT');
  expect(await run.ended, run.lines.join('\n')).toBe(130);
  expect(run.lines.at(-1)).toBe('Stopped: nothing is left running.');
  expect(await run.living()).toEqual([]);
});

test('--keep leaves the service up until Ctrl-C', async () => {
  const run = start('--keep');
  const address = /http:\S+\d/.exec(await run.line(/^The service stays up at/))?.[0];
  const answer = await fetch(`${address}/readyz`);
  expect(answer.status).toBe(200);
  run.process.kill('SIGINT');
  expect(await run.ended).toBe(0);
  expect(await run.living()).toEqual([]);
});

test('killed outright, it takes its services with it', async ({ skip }) => {
  if (process.platform !== 'linux') return skip('looks for processes in /proc');
  const run = start();
  await run.line(/^Posted job/);
  run.process.kill('SIGKILL');
  await run.ended;
  // The pipe that the guards watch closes with the process; what they kill is gone within moments.
  await expect.poll(() => run.living(), { timeout: 10_000 }).toEqual([]);
});
