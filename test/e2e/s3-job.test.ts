import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { HeadstartClient } from '@headstart/client';
import { Manifest } from '@headstart/contracts';
import { createStores, downloadTo } from '@headstart/storage';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { makeTar } from '../support/archives.js';
import { startS3, type S3Server } from '../support/s3.js';
import { killServices, startApi, startWorker } from '../support/services.js';

const HUNDRED_MB = 100 * 1024 * 1024;
const REGION = 'us-east-1';

let s3: S3Server | { skip: string };
let folder: string;

beforeAll(async () => {
  s3 = await startS3();
  folder = await mkdtemp(join(tmpdir(), 'headstart-s3-job-'));
}, 600_000);

afterAll(async () => {
  killServices();
  if ('endpoint' in s3) await s3.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Noise does not compress: about 6.5 MB a picture. The mean colour tells the classes apart. */
async function heavyPicture(channel: number): Promise<Buffer> {
  const side = 1500;
  const pixels = randomBytes(side * side * 3);
  for (let i = channel; i < pixels.length; i += 3) pixels[i] = 128 + (pixels[i]! >> 1);
  return sharp(pixels, { raw: { width: side, height: side, channels: 3 } })
    .png({ compressionLevel: 1 })
    .toBuffer();
}

describe('a job on a real S3 server', () => {
  it('reads an archive of more than 100 MB and publishes files of more than 100 MB', async (test) => {
    if ('skip' in s3) return test.skip(s3.skip);
    const { endpoint, accessKeyId, secretAccessKey, bucket } = s3;
    const client = new S3Client({
      endpoint,
      region: REGION,
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey },
    });
    const entries: { name: string; data: Buffer }[] = [];
    for (let i = 0; i < 9; i++) {
      for (const [channel, name] of ['red', 'green'].entries())
        entries.push({ name: `set/${name}/${i}.png`, data: await heavyPicture(channel) });
    }
    const archive = await makeTar(entries);
    expect(archive.length).toBeGreaterThan(HUNDRED_MB);
    await new Upload({ client, params: { Bucket: bucket, Key: 'data/set.tar', Body: archive } }).done();
    client.destroy();

    const env = {
      REDIS_URL: inject('redisUrl'),
      QUEUE_PREFIX: 's3-job',
      OUTPUT_URI: `s3://${bucket}/jobs/`,
      S3_ENDPOINT: endpoint,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      WORK_DIR: join(folder, 'work'),
      CACHE_DIR: join(folder, 'cache'),
    };
    const [api] = await Promise.all([startApi(env), startWorker(env)]);
    const headstart = new HeadstartClient(api.url);
    // 2 x 2 x 512 features into 8192 units: 67 MB of weights, and twice that of Adam's state in the checkpoint.
    const { id } = await headstart.createJob({
      datasetUri: `s3://${bucket}/data/set.tar`,
      scenario: 'small-similar',
      model: { weights: 'random', inputSize: 64, head: [{ units: 8192 }] },
      training: { epochs: 1 },
    });
    const job = await headstart.waitForJob(id);
    expect(job).toMatchObject({
      status: 'succeeded',
      error: null,
      plan: { classes: ['green', 'red'] },
      artifacts: { uri: `s3://${bucket}/jobs/${id}/` },
    });

    process.env['AWS_ACCESS_KEY_ID'] = accessKeyId;
    process.env['AWS_SECRET_ACCESS_KEY'] = secretAccessKey;
    const stores = createStores({
      fileRoots: [],
      allowedNetworks: [],
      s3: { endpoint, region: REGION, forcePathStyle: true },
    });
    const store = stores.open(job.artifacts!.uri);
    const manifest = Manifest.parse(
      JSON.parse(Buffer.from(await store.readBytes('manifest.json', HUNDRED_MB)).toString()),
    );
    expect(
      manifest.files.some(({ path, sizeBytes }) => path.endsWith('optimizer.bin') && sizeBytes > HUNDRED_MB),
    ).toBe(true);
    for (const { path, sizeBytes, sha256 } of manifest.files) {
      const arrived = await downloadTo(stores, store.uriOf(path), join(folder, 'fetched', path), {
        maxBytes: sizeBytes,
      });
      expect({ path, ...arrived }).toEqual({ path, sizeBytes, sha256 });
    }
    stores.close();
  });
});
