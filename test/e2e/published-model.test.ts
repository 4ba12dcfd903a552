import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { HeadstartClient } from '@headstart/client';
import { type Manifest, Prediction } from '@headstart/contracts';
import { hashFile } from '@headstart/storage';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { writeTree } from '../support/pictures.js';
import { killServices, startApi, startWorker } from '../support/services.js';

let folder: string;
let client: HeadstartClient;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headstart-model-'));
  const env = {
    REDIS_URL: inject('redisUrl'),
    QUEUE_PREFIX: 'published-model',
    FILE_ROOTS: folder,
    OUTPUT_URI: pathToFileURL(join(folder, 'output')).href,
    WORK_DIR: join(folder, 'work'),
    CACHE_DIR: join(folder, 'cache'),
  };
  const [api] = await Promise.all([startApi(env), startWorker(env)]);
  client = new HeadstartClient(api.url);
});

afterAll(async () => {
  killServices();
  await rm(folder, { recursive: true, force: true });
});

/** Stripes of a width and tilt of its own over noise, of sizes of their own: nothing that a resize would leave alone. */
async function stripes(index: number, vertical: boolean): Promise<Buffer> {
  const width = 80 + 7 * index;
  const height = 60 + 5 * index;
  const pattern = `<pattern id="p" width="${6 + (index % 5)}" height="${6 + (index % 5)}" patternUnits="userSpaceOnUse" patternTransform="rotate(${(vertical ? 0 : 90) + (index % 7)})"><rect width="3" height="20" fill="hsl(${index * 40} 70% 40%)"/></pattern>`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${pattern}<rect width="100%" height="100%" fill="url(#p)"/></svg>`;
  const noise = { type: 'gaussian', mean: 150, sigma: 30 } as const;
  return sharp({ create: { width, height, channels: 3, background: 'white', noise } })
    .composite([{ input: Buffer.from(svg) }])
    .png()
    .toBuffer();
}

/** Two classes of stripes in a folder of their own. @returns its path. */
async function drawSet(name: string, perClass: number): Promise<string> {
  const data = join(folder, name);
  const files: Record<string, Buffer> = {};
  for (let i = 0; i < perClass; i++) {
    files[`across/${i}.png`] = await stripes(i, false);
    files[`upright/${i}.png`] = await stripes(i, true);
  }
  await writeTree(data, files);
  return data;
}

describe('a published model', () => {
  it('gives plain TensorFlow.js, in a fresh process, the probabilities that the worker reported', async () => {
    const data = await drawSet('stripes', 26);
    const { id } = await client.createJob({
      datasetUri: `${pathToFileURL(data).href}/`,
      scenario: 'small-different',
      model: { weights: 'random', inputSize: 48, head: [{ units: 32, dropout: 0.2 }] },
      training: { epochs: 8, batchSize: 8 },
    });
    const job = await client.waitForJob(id, { intervalMs: 200 });
    expect(job).toMatchObject({ status: 'succeeded', error: null });

    const output = fileURLToPath(job.artifacts!.uri);
    const lines = (await readFile(join(output, 'predictions.jsonl'), 'utf8')).trim().split('\n');
    const reported = lines.slice(0, 10).map((line) => Prediction.parse(JSON.parse(line)));
    expect(reported).toHaveLength(10);

    const server = createServer((request, response) => {
      createReadStream(join(output, request.url!)).pipe(response);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const script = resolve(import.meta.dirname, '../support/predict-with-tfjs.mjs');
    const pictures = reported.map(({ path }) => join(data, path));
    const { stdout } = await promisify(execFile)(process.execPath, [
      script,
      `http://127.0.0.1:${port}/model/model.json`,
      ...pictures,
    ]);
    server.close();

    const predicted = stdout
      .split('\n')
      .filter((line) => line.startsWith('['))
      .map((line) => JSON.parse(line) as number[]);
    expect(predicted).toHaveLength(10);
    predicted.forEach((probabilities, i) => {
      probabilities.forEach((probability, k) =>
        expect(Math.abs(probability - reported[i]!.probabilities[k]!)).toBeLessThanOrEqual(1e-4),
      );
    });
  });

  it('is listed whole in the manifest: every file, its size and its SHA-256', async () => {
    const data = await drawSet('listed', 5);
    const { id } = await client.createJob({
      datasetUri: `${pathToFileURL(data).href}/`,
      scenario: 'small-different',
      model: { weights: 'random', inputSize: 32, featureLayer: 'block1_pool' },
      training: { epochs: 4, seed: 7 },
    });
    const { artifacts } = await client.waitForJob(id, { intervalMs: 200 });
    const output = fileURLToPath(artifacts!.uri);
    const manifest = JSON.parse(await readFile(join(output, 'manifest.json'), 'utf8')) as Manifest;
    expect(manifest).toMatchObject({
      version: 1,
      jobId: id,
      attempt: 1,
      exportedEpoch: 4,
      seed: 7,
      runtime: { engine: expect.any(String) as string },
    });
    const paths = manifest.files.map(({ path }) => path);
    for (const name of [
      'job.json',
      'labels.json',
      'metrics.jsonl',
      'metrics.csv',
      'confusion-matrix.json',
      'curves.svg',
      'dataset-report.json',
      'model/model.json',
      'model/model.h5',
      'checkpoints/epoch-0004-step-000000-attempt-0001/weights.bin',
    ])
      expect(paths).toContain(name);
    for (const { path, sizeBytes, sha256 } of manifest.files)
      expect({ path, ...(await hashFile(join(output, path))) }).toEqual({ path, sizeBytes, sha256 });
  });

  it('gives its base to a later job, as job:ID', async () => {
    const data = await drawSet('again', 5);
    const post = async (weights: string, featureLayer: string, seed: number) => {
      const { id } = await client.createJob({
        datasetUri: `${pathToFileURL(data).href}/`,
        scenario: 'small-different',
        model: { weights, inputSize: 32, featureLayer },
        training: { epochs: 1, seed },
      });
      const job = await client.waitForJob(id, { intervalMs: 200 });
      const manifest = new URL('manifest.json', job.artifacts!.uri);
      return { job, weightsDigest: (JSON.parse(await readFile(manifest, 'utf8')) as Manifest).weightsDigest };
    };
    const first = await post('random', 'block2_pool', 1);
    const second = await post(`job:${first.job.id}`, 'block2_pool', 2);
    expect(second.job).toMatchObject({
      status: 'succeeded',
      plan: { weights: { source: 'tfjs', jobId: first.job.id } },
    });
    expect(second.weightsDigest).toBe(first.weightsDigest);

    const deeper = await client.createJob({
      datasetUri: `${pathToFileURL(data).href}/`,
      scenario: 'small-different',
      model: { weights: `job:${first.job.id}`, inputSize: 32, featureLayer: 'block3_pool' },
    });
    expect(await client.waitForJob(deeper.id, { intervalMs: 200 })).toMatchObject({
      status: 'failed',
      error: {
        code: 'weights_invalid',
        details: { missingLayers: ['block3_conv1', 'block3_conv2', 'block3_conv3', 'block3_conv4'] },
      },
    });
  });
});
