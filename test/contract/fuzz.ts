import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { HeadstartClient } from '@headstart/client';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { type Deployment, hasEnded, startDeployment } from '../support/deployment.js';

/** Of https://schemathesis.io, a Python program. */
const PROGRAM = process.env['SCHEMATHESIS'] ?? 'schemathesis';
const MAX_SECONDS = process.env['CONTRACT_SECONDS'] ?? '240';
const DOCUMENT = new URL('../../openapi.yaml', import.meta.url).pathname;
/** What a job gets before it is canceled, so that whoever listens to it hears its end. */
const JOB_LIVES_MS = 2000;

const { error: missing } = spawnSync(PROGRAM, ['--version'], { stdio: 'ignore' });

let deployment: Deployment;
beforeAll(async () => {
  deployment = await startDeployment(inject('redisUrl'), { RATE_LIMIT_PER_MINUTE: '1000000' });
  await deployment.startWorker();
});
afterAll(() => deployment.end());

it('answers whatever is asked as openapi.yaml says', async ({ skip }) => {
  skip(missing !== undefined, `"${PROGRAM}" does not start; see "Every day" in CONTRIBUTING.md`);
  // A job with files, metrics and a log to ask for.
  await deployment.waitFor((await deployment.post()).id, hasEnded);
  const stop = new AbortController();
  const ending = endJobs(deployment.client, stop.signal);
  const child = spawn(
    PROGRAM,
    [
      ...['--config-file', join(import.meta.dirname, 'schemathesis.toml')],
      ...['run', DOCUMENT, '--url', deployment.api.url, '--max-time', MAX_SECONDS],
      ...['--output-truncate', 'false', '--generation-database', 'none'],
    ],
    // It leaves a folder where it runs.
    { cwd: deployment.folder, stdio: ['ignore', 'inherit', 'inherit'] },
  );
  const [code] = (await once(child, 'exit')) as [number | null];
  stop.abort();
  await ending;
  expect(code).toBe(0);
});

/** Cancels every job that is still under way after its time. */
async function endJobs(client: HeadstartClient, signal: AbortSignal): Promise<void> {
  try {
    while (!signal.aborted) {
      await delay(500, undefined, { signal });
      for await (const { id, createdAt } of client.eachJob({ status: ['queued', 'running'] }))
        if (Date.now() - Date.parse(createdAt) > JOB_LIVES_MS)
          // It may have ended or been removed meanwhile.
          await client.cancelJob(id).catch(() => undefined);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
