import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { HeadstartClient } from '@headstart/client';
import type { DatasetReport } from '@headstart/contracts';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { killServices, startApi, startWorker } from '../support/services.js';
import { ANTS_BEES, BLOCK_1_TO_3_WEIGHTS, SHARED_FOLDER, sharedIsMissing } from '../support/shared.js';

const missing = sharedIsMissing();
const SEEDS = [0, 1, 2];
/** On the slowest engine, features of 397 pictures take about 0.7 s each. */
const TIME_LIMIT_MS = 25 * 60_000;

let folder: string;

describe.skipIf(missing)('photographs of ants and bees, on ImageNet weights', () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headstart-real-'));
  });

  afterAll(async () => {
    killServices();
    await rm(folder, { recursive: true, force: true });
  });

  it(
    'are told apart as well as Keras tells them: mean last-epoch validation accuracy of three seeds at least 0.77',
    async () => {
      const env = {
        REDIS_URL: inject('redisUrl'),
        QUEUE_PREFIX: 'real-pictures',
        FILE_ROOTS: `${SHARED_FOLDER},${folder}`,
        OUTPUT_URI: pathToFileURL(join(folder, 'output')).href,
        WORK_DIR: join(folder, 'work'),
        CACHE_DIR: join(folder, 'cache'),
      };
      const [api] = await Promise.all([startApi(env), startWorker(env), startWorker(env)]);
      const client = new HeadstartClient(api.url);
      const queued = await Promise.all(
        SEEDS.map((seed) =>
          client.createJob({
            datasetUri: `${pathToFileURL(ANTS_BEES).href}/`,
            scenario: 'small-different',
            model: { featureLayer: 'block3_pool', weights: pathToFileURL(BLOCK_1_TO_3_WEIGHTS).href },
            training: { epochs: 30, seed },
          }),
        ),
      );
      const jobs = await Promise.all(queued.map(({ id }) => client.waitForJob(id)));
      expect(jobs.map(({ error }) => error)).toEqual(SEEDS.map(() => null));
      expect(jobs.map(({ status, metrics }) => [status, metrics.length])).toEqual(
        SEEDS.map(() => ['succeeded', 30]),
      );
      const accuracies = jobs.map(({ metrics }) => metrics.at(-1)!.valAccuracy);
      const seconds = jobs.map((job) => (Date.parse(job.finishedAt!) - Date.parse(job.startedAt!)) / 1000);
      console.log(
        `validation accuracy ${accuracies.map((value) => value.toFixed(3)).join(', ')}; ${seconds.map(Math.round).join(', ')} s on ${jobs[0]!.engine}`,
      );
      expect(accuracies.reduce((sum, value) => sum + value) / SEEDS.length).toBeGreaterThanOrEqual(0.77);

      const reportFile = join(fileURLToPath(jobs[0]!.artifacts!.uri), 'dataset-report.json');
      const report = JSON.parse(await readFile(reportFile, 'utf8')) as DatasetReport;
      expect(report.pictures).toEqual({ train: 244, val: 153 });
      expect(report.refused.map(({ path }) => path)).toEqual(['train/ants/imageNotFound.gif']);
      expect(report.refused[0]!.reason).not.toBe('');
    },
    TIME_LIMIT_MS,
  );
});
