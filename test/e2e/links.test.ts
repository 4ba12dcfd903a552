import { mkdir, readdir, rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { HeadstartClient } from '@headstart/client';
import type { Job } from '@headstart/contracts';
import { createApiKey } from '@headstart/queue';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { type Deployment, drawTwoClasses, hasEnded, startDeployment } from '../support/deployment.js';
import { UNLIMITED } from '../support/keys.js';
import { openQueueParts } from '../support/queue.js';

let deployment: Deployment;
/** What the key may use, and what it may not. */
let birds: string;
let secrets: string;
beforeEach(async () => {
  deployment = await startDeployment(inject('redisUrl'));
  birds = join(deployment.folder, 'birds');
  secrets = join(deployment.folder, 'fish', 'secrets');
  await drawTwoClasses(join(birds, 'pictures'));
  await drawTwoClasses(secrets);
  const queue = openQueueParts(inject('redisUrl'), deployment.queuePrefix);
  const grant = { tenant: 'birds', name: 'a test', role: 'submit', quotas: UNLIMITED } as const;
  const { key } = await createApiKey(queue, { ...grant, uriPrefixes: [uriOf(birds)] });
  deployment.client = new HeadstartClient(deployment.api.url, { apiKey: key });
  queue.redis.disconnect();
});
afterEach(() => deployment.end());

const uriOf = (path: string) => pathToFileURL(path).href;
const post = (change: object = {}) =>
  deployment.post({
    datasetUri: uriOf(join(birds, 'pictures')),
    output: { uri: uriOf(join(birds, 'output')) },
    ...change,
  });

/** Puts a link to the other tenant's folder in the place of one. */
async function swap(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await rename(folder, `${folder}-moved`);
  await symlink(secrets, folder);
}

function expectRefused({ error, attempts }: Job): void {
  expect([error?.code, attempts]).toEqual(['uri_forbidden', 1]);
  expect(error?.detail).toContain(uriOf(birds));
  expect(JSON.stringify(error)).not.toContain('secrets');
}

describe('a link that takes the place of a folder behind the post', () => {
  it.each([
    ['data set', 'pictures'],
    ['output', 'output'],
  ])('is not followed by the worker: %s', async (_, name) => {
    const { id } = await post();
    await swap(join(birds, name));
    await deployment.startWorker();
    expectRefused(await deployment.waitFor(id, hasEnded));
    expect((await readdir(secrets)).toSorted()).toEqual(['cold', 'warm']);
  });

  it('is not followed by the training', async () => {
    const training = { epochs: 1000, augmentation: { rotation: 10 } };
    const { id } = await post({ training });
    const worker = await deployment.startWorker();
    await deployment.waitFor(id, ({ metrics }) => metrics.length > 0);
    // So that it finds a picture wherever it looks.
    worker.signalAll('SIGSTOP');
    await swap(join(birds, 'pictures'));
    worker.signalAll('SIGCONT');
    // It is tried again, as for any file that cannot be read. Then the link is seen before anything is read.
    const { error } = await deployment.waitFor(id, hasEnded);
    expect(error?.code).toBe('uri_forbidden');
    expect(JSON.stringify(await deployment.warningsOf(id))).not.toContain('secrets');
  });

  it('is not followed by checkpoints of a job that runs', async () => {
    const { id } = await post({ training: { epochs: 300 } });
    await deployment.startWorker();
    await deployment.waitFor(id, ({ checkpoint }) => checkpoint !== null);
    await swap(join(birds, 'output'));
    await deployment.waitFor(id, ({ checkpointError }) => checkpointError?.code === 'uri_forbidden');
    await deployment.client.finishJob(id);
    expectRefused(await deployment.waitFor(id, hasEnded));
  });
});
