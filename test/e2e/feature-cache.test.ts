import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { HeadstartClient } from '@headstart/client';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { killServices, type LogLine, type Service, startApi, startWorker } from '../support/services.js';
import { ANTS_BEES, SHARED_FOLDER, sharedIsMissing } from '../support/shared.js';
import { writeWeights } from '../support/vgg19-weights.js';

const missing = sharedIsMissing();

let folder: string;
describe.skipIf(missing)('397 photographs at 224 pixels, up to block5_pool', () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headstart-cache-'));
    await writeWeights(join(folder, 'weights.h5'));
  });
  afterAll(async () => {
    killServices();
    await rm(folder, { recursive: true, force: true });
  });

  it('a second job is at its first epoch at least 50 times sooner', async () => {
    const env = {
      REDIS_URL: inject('redisUrl'),
      QUEUE_PREFIX: 'feature-cache',
      FILE_ROOTS: `${SHARED_FOLDER},${folder}`,
      OUTPUT_URI: pathToFileURL(join(folder, 'output')).href,
      WORK_DIR: join(folder, 'work'),
      CACHE_DIR: join(folder, 'cache'),
      ENGINE: 'onnxruntime',
    };
    const [api, worker] = await Promise.all([startApi(env), startWorker(env)]);
    const client = new HeadstartClient(api.url);
    const seconds: number[] = [];
    for (const seed of [1, 2]) {
      const { id } = await client.createJob({
        datasetUri: `${pathToFileURL(ANTS_BEES).href}/`,
        scenario: 'small-similar',
        model: { weights: pathToFileURL(join(folder, 'weights.h5')).href },
        training: { epochs: 1, seed },
      });
      const job = await client.waitForJob(id);
      expect(job.error).toBeNull();
      const found = await logOf(worker, id, 'features are at hand');
      expect(found).toMatchObject(seed === 1 ? { hits: 0, misses: 397 } : { hits: 397, misses: 0 });
      seconds.push((Number(found['time']) - Date.parse(job.startedAt!)) / 1000);
      if (process.env.C_PRINT)
        console.log(
          worker.logs
            .filter((l) => l['jobId'] === id)
            .map(
              (l) =>
                `${Number(l['time']) - Date.parse(job.startedAt!)} ${l.msg} ${JSON.stringify(l['line'] ?? '')}`,
            )
            .join('\n'),
          job.metrics[0],
        );
    }
    const [first, second] = seconds as [number, number];
    console.log(`from pick-up to the first epoch: ${first.toFixed(1)} s, then ${second.toFixed(2)} s`);
    expect(first / second).toBeGreaterThan(50);
  });
});

function logOf(worker: Service, jobId: string, message: string): Promise<LogLine> {
  return worker.waitForLog((line) => line['jobId'] === jobId && line.msg === message);
}
