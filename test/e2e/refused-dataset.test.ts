import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DatasetReport } from '@headstart/contracts';
import { afterEach, beforeEach, expect, inject, it } from 'vitest';
import { type Deployment, hasEnded, startDeployment } from '../support/deployment.js';
import { writeTree } from '../support/pictures.js';

let deployment: Deployment;
beforeEach(async () => {
  deployment = await startDeployment(inject('redisUrl'));
});
afterEach(() => deployment.end());

it("a job of which too much was refused fails before it trains, and leaves the report; the limit is the worker's", async () => {
  const bad = Object.fromEntries([0, 1, 2, 3, 4, 5].map((index) => [`warm/bad-${index}.jpg`, 'text']));
  await writeTree(join(deployment.folder, 'pictures'), bad);
  const strict = await deployment.startWorker();
  const refused = await deployment.post();
  const failed = await deployment.waitFor(refused.id, hasEnded);
  expect(failed).toMatchObject({
    status: 'failed',
    attempts: 1,
    phase: 'dataset',
    error: { code: 'dataset_invalid' },
  });
  const file = fileURLToPath(failed.artifacts?.files['report'] ?? '');
  const report = DatasetReport.parse(JSON.parse(await readFile(file, 'utf8')));
  expect(report.refused.map(({ path }) => path)).toEqual(Object.keys(bad));
  strict.signal('SIGTERM');
  await strict.ended;

  await deployment.startWorker({ DATASET_MAX_REFUSED_SHARE: '0.25' });
  const { id } = await deployment.post();
  expect(await deployment.waitFor(id, hasEnded)).toMatchObject({ status: 'succeeded' });
});
