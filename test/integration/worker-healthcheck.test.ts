import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { freePort } from '../../scripts/src/processes.js';
import { poll } from '../support/poll.js';
import { killServices, startWorker } from '../support/services.js';

const HEALTHCHECK = resolve(import.meta.dirname, '../../services/worker/dist/healthcheck.js');

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headstart-health-'));
});

afterAll(async () => {
  killServices();
  await rm(folder, { recursive: true, force: true });
});

function environment(): Record<string, string> {
  return {
    REDIS_URL: inject('redisUrl'),
    QUEUE_PREFIX: `test-${randomUUID()}`,
    WORK_DIR: join(folder, 'work'),
    CACHE_DIR: join(folder, 'cache'),
  };
}

function checkHealth(env: Record<string, string>): Promise<{ code: number; stderr: string }> {
  return new Promise((settle) => {
    execFile(process.execPath, [HEALTHCHECK], { env: { ...process.env, ...env } }, (error, _stdout, stderr) =>
      settle({ code: error ? Number(error.code) : 0, stderr }),
    );
  });
}

it('is healthy while the worker has its connection to the queue, and not when it is gone', async () => {
  const env = environment();
  expect(await checkHealth(env)).toEqual({
    code: 1,
    stderr: expect.stringContaining(`in the queue "${env['QUEUE_PREFIX']}"`) as string,
  });
  const worker = await startWorker(env);
  expect(await checkHealth(env)).toEqual({ code: 0, stderr: '' });

  worker.signal('SIGKILL');
  await worker.ended;
  await poll('unhealthy', async () => ((await checkHealth(env)).code === 1 ? true : null));
});

it('says why where Redis does not answer', async () => {
  const env = { ...environment(), REDIS_URL: `redis://127.0.0.1:${await freePort()}` };
  expect(await checkHealth(env)).toEqual({
    code: 1,
    stderr: expect.stringContaining('ECONNREFUSED') as string,
  });
});
