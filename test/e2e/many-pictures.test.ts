import { readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { HeadstartClient } from '@headstart/client';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { killServices, type Service, startApi, startWorker } from '../support/services.js';

const FEW = 300;
const MANY = 3000;
const SIDE = 32;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headstart-many-'));
  await drawPictures(join(folder, 'few'), FEW);
  await drawPictures(join(folder, 'many'), MANY);
});
afterAll(async () => {
  killServices();
  await rm(folder, { recursive: true, force: true });
});

/** No two alike. */
async function drawPictures(directory: string, count: number): Promise<void> {
  for (const name of ['a', 'b']) await mkdir(join(directory, name), { recursive: true });
  for (let index = 0; index < count; index++) {
    const pixels = Buffer.alloc(SIDE * SIDE * 3, index % 2 === 0 ? 60 : 180);
    pixels.writeUInt32LE(index);
    const png = await sharp(pixels, { raw: { width: SIDE, height: SIDE, channels: 3 } })
      .png({ compressionLevel: 1 })
      .toBuffer();
    await writeFile(join(directory, index % 2 === 0 ? 'a' : 'b', `${index}.png`), png);
  }
}

it.skipIf(process.platform !== 'linux')('ten times the pictures take no more memory', async () => {
  const env = {
    REDIS_URL: inject('redisUrl'),
    QUEUE_PREFIX: 'many-pictures',
    FILE_ROOTS: folder,
    OUTPUT_URI: pathToFileURL(join(folder, 'output')).href,
    WORK_DIR: join(folder, 'work'),
    CACHE_DIR: join(folder, 'cache'),
    ENGINE: 'onnxruntime',
    ENGINE_THREADS: '2',
  };
  const [api, worker] = await Promise.all([startApi(env), startWorker(env)]);
  const client = new HeadstartClient(api.url);
  const peaks: number[] = [];
  // As many steps in both: what is compared is what the pictures take.
  for (const [data, count, epochs] of [
    ['few', FEW, (2 * MANY) / FEW],
    ['many', MANY, 2],
  ] as const) {
    const { id } = await client.createJob({
      datasetUri: pathToFileURL(join(folder, data, '/')).href,
      scenario: 'small-different',
      // 65 kB of features a picture: more of them than anything else.
      model: {
        weights: 'random',
        inputSize: SIDE,
        featureLayer: 'block1_pool',
        pooling: 'flatten',
        head: [],
      },
      training: { epochs, seed: 1 },
    });
    const peak = watchPeak(worker, id);
    const job = await client.waitForJob(id);
    expect(job.error).toBeNull();
    peaks.push(await peak);
    const seconds = (Date.parse(job.finishedAt!) - Date.parse(job.startedAt!)) / 1000;
    console.log(
      `${count} pictures: peak memory ${(peaks.at(-1)! / 1e6).toFixed(0)} MB, features ${(bytesBelow(join(folder, 'cache')) / 1e6).toFixed(0)} MB, ${seconds.toFixed(0)} s, ${(count / seconds).toFixed(0)} pictures a second over all`,
    );
  }
  expect(peaks[1]! / peaks[0]!).toBeLessThan(1.1);
});

/** Largest resident memory of the job's trainer, as the kernel has it when the process is last seen. */
async function watchPeak(worker: Service, jobId: string): Promise<number> {
  const started = await worker.waitForLog(
    (line) => line['jobId'] === jobId && line.msg === 'attempt started',
  );
  const status = `/proc/${Number(started['trainerPid'])}/status`;
  let peak = 0;
  const timer = setInterval(() => {
    try {
      peak = Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(status, 'utf8'))?.[1] ?? peak / 1024) * 1024;
    } catch {
      // It has ended.
    }
  }, 20);
  await worker.waitForLog((line) => line['jobId'] === jobId && line.msg === 'attempt ended', 3_600_000);
  clearInterval(timer);
  return peak;
}

function bytesBelow(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}
