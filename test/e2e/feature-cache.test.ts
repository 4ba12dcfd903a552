import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { HeadstartClient } from '@headstart/client';
import { type Job, Manifest } from '@headstart/contracts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { type Deployment, hasEnded, startDeployment } from '../support/deployment.js';
import { startS3 } from '../support/s3.js';
import { killServices, type LogLine, type Service, startApi, startWorker } from '../support/services.js';
import { ANTS_BEES, SHARED_FOLDER, sharedIsMissing } from '../support/shared.js';
import { writeWeights } from '../support/vgg19-weights.js';

const missing = sharedIsMissing();

describe('features of twenty pictures', () => {
  let deployment: Deployment;
  beforeEach(async () => {
    deployment = await startDeployment(inject('redisUrl'));
  });
  afterEach(() => deployment.end());

  /** Runs the small job on a worker of these settings alone. */
  async function runOn(
    env: Record<string, string>,
  ): Promise<{ job: Job; manifest: Manifest; worker: Service }> {
    const worker = await deployment.startWorker(env);
    const { id } = await deployment.post();
    const job = await deployment.waitFor(id, hasEnded);
    expect(job.error).toBeNull();
    const file = fileURLToPath(job.artifacts!.files['manifest']!);
    const manifest = Manifest.parse(JSON.parse(await readFile(file, 'utf8')));
    worker.signal('SIGTERM');
    await worker.ended;
    return { job, manifest, worker };
  }

  const uses = (hits: number, misses: number) => [{ stage: 'head', cachedLayers: 5, hits, misses }];
  const measured = ({ metrics }: Job) => metrics.map(({ loss, valLoss }) => [loss, valLoss]);

  it('are there for the second job, which trains on the same numbers', async () => {
    const first = await runOn({});
    expect(first.manifest.features).toEqual(uses(0, 20));
    const second = await runOn({});
    expect(second.manifest.features).toEqual(uses(20, 0));
    expect(measured(second.job)).toEqual(measured(first.job));
    const line = await logOf(second.worker, second.job.id, 'features are at hand');
    expect(line).toMatchObject({ hits: 20, misses: 0 });
  });

  it.for(['file', 's3'] as const)(
    'are shared by machines over %s://, and computed anew where they were damaged there',
    async (scheme, { skip }) => {
      const s3 = scheme === 's3' ? await startS3() : null;
      if (s3 && 'skip' in s3) return skip(s3.skip);
      const folder = join(deployment.folder, 'shared');
      const access: Record<string, string> = s3
        ? {
            FEATURE_CACHE_URI: `s3://${s3.bucket}/features-${randomUUID()}/`,
            S3_ENDPOINT: s3.endpoint,
            AWS_ACCESS_KEY_ID: s3.accessKeyId,
            AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
          }
        : { FEATURE_CACHE_URI: `${pathToFileURL(folder).href}/` };
      const machine = (name: string) => ({ ...access, CACHE_DIR: join(deployment.folder, name) });
      const first = await runOn(machine('machine-1'));
      expect(first.manifest.features).toEqual(uses(0, 20));
      const second = await runOn(machine('machine-2'));
      expect(second.manifest.features).toEqual(uses(20, 0));
      expect(measured(second.job)).toEqual(measured(first.job));
      // That nothing has been shared yet is nothing to complain of.
      for (const { worker } of [first, second])
        expect(worker.logs.filter(({ msg }) => msg.includes('shared'))).toEqual([]);
      if (s3) return s3.stop();

      const [prefix] = readdirSync(folder) as [string];
      const [segment] = readdirSync(join(folder, prefix)) as [string];
      const path = join(folder, prefix, segment);
      const bytes = readFileSync(path);
      bytes[1000]! ^= 1;
      writeFileSync(path, bytes);
      const third = await runOn(machine('machine-3'));
      expect(third.manifest.features).toEqual(uses(0, 20));
      expect(measured(third.job)).toEqual(measured(first.job));
      await logOf(third.worker, third.job.id, 'features on the disk were damaged; they are computed anew');
    },
  );

  it('are as if nothing had been, where the trainer was killed while it wrote them', async () => {
    const slow = { model: { inputSize: 224, featureLayer: 'block3_pool' } };
    const worker = await deployment.startWorker();
    const { id } = await deployment.post(slow);
    await deployment.waitFor(id, ({ phase, progress }) => phase === 'features' && (progress?.done ?? 0) > 0);
    const started = await logOf(worker, id, 'attempt started');
    process.kill(Number(started['trainerPid']), 'SIGKILL');
    const job = await deployment.waitFor(id, hasEnded);
    expect(job).toMatchObject({ status: 'succeeded', attempts: 2 });
    worker.signal('SIGTERM');
    await worker.ended;

    await deployment.startWorker({ CACHE_DIR: join(deployment.folder, 'other-cache') });
    const undisturbed = await deployment.waitFor((await deployment.post(slow)).id, hasEnded);
    expect(measured(job)).toEqual(measured(undisturbed));
  });

  it('that cannot be shared do not keep a job from its end', async () => {
    const { manifest, worker, job } = await runOn({
      FEATURE_CACHE_URI: 's3://nowhere/features/',
      S3_ENDPOINT: 'http://127.0.0.1:1',
      AWS_ACCESS_KEY_ID: 'none',
      AWS_SECRET_ACCESS_KEY: 'none',
    });
    expect(manifest.features).toEqual(uses(0, 20));
    await logOf(worker, job.id, 'the shared features cannot be read; what is missing is computed');
    await logOf(worker, job.id, 'features were not shared with other workers');
  });
});

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

  it('a second job computes none anew, and says how much sooner it is at its first epoch', async () => {
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
      const { trainerPid } = await logOf(worker, id, 'attempt started');
      // The next job is for a worker that has waited, not for one that has ended another just now.
      await worker.waitForLog(
        (line) => line.msg === 'a trainer is ready' && line['trainerPid'] !== trainerPid,
      );
      seconds.push((Number(found['time']) - Date.parse(job.startedAt!)) / 1000);
    }
    const [first, second] = seconds as [number, number];
    console.log(
      `from pick-up to the first epoch: ${first.toFixed(1)} s, then ${second.toFixed(2)} s: ${(first / second).toFixed(0)} times`,
    );
  });
});

function logOf(worker: Service, jobId: string, message: string): Promise<LogLine> {
  return worker.waitForLog((line) => line['jobId'] === jobId && line.msg === message);
}
