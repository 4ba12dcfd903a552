import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HeadstartClient } from '@headstart/client';
import { AppError, type Job, type JobRequestInput } from '@headstart/contracts';
import { createApiKey, createRedis } from '@headstart/queue';
import { createStores } from '@headstart/storage';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { drawTwoClasses, WEBHOOK_SECRET } from '../support/deployment.js';
import { startHttps } from '../support/https-server.js';
import { UNLIMITED } from '../support/keys.js';
import { poll } from '../support/poll.js';
import { startReceiver } from '../support/receiver.js';
import { startRedis } from '../support/redis.js';
import { type S3Server, startS3 } from '../support/s3.js';
import { killServices, type Service, startApi, startWorker } from '../support/services.js';
import { listAll, LOOPBACK } from '../support/storage.js';

const REDIS_PASSWORD = 'redis-password-93bd1';
const URL_SECRET = 'signature-of-a-url-5e0f7';
const MAX_BYTES = 1e9;

let s3: S3Server | { skip: string };
let folder: string;

beforeAll(async () => {
  s3 = await startS3();
  folder = await mkdtemp(join(tmpdir(), 'headstart-secrets-'));
}, 600_000);
afterAll(async () => {
  killServices();
  if ('endpoint' in s3) await s3.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Every key and value of a Redis, as text, but for the endpoints, which are kept with what they are signed with. */
async function dumpRedis(url: string): Promise<string> {
  const redis = createRedis(url, 'worker');
  const parts: string[] = [];
  for (const key of await redis.keys('*')) {
    if (key.includes(':webhook-endpoints:')) continue;
    const type = await redis.type(key);
    const value =
      type === 'hash'
        ? await redis.hgetall(key)
        : type === 'stream'
          ? await redis.xrange(key, '-', '+')
          : type === 'string'
            ? await redis.get(key)
            : type === 'list'
              ? await redis.lrange(key, 0, -1)
              : await redis.zrange(key, '0', '-1');
    parts.push(key, JSON.stringify(value));
  }
  redis.disconnect();
  return parts.join('\n');
}

async function readTree(root: string): Promise<string> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  return (await Promise.all(files.map(async (file) => `${file}\n${await readFile(file, 'latin1')}`))).join(
    '\n',
  );
}

const logOf = ({ logs }: Service) => logs.map((line) => JSON.stringify(line)).join('\n');
/** What a client posted is its own, and is handed back as it was. */
function withoutRequest(job: Job): Partial<Job> {
  return { ...job, request: undefined, plan: { ...job.plan, weights: { source: 'random' } } };
}

it('no secret is left in logs, job data, errors, webhooks or artifacts', async (test) => {
  if ('skip' in s3) return test.skip(s3.skip);
  const { endpoint, accessKeyId, secretAccessKey, bucket } = s3;
  const weights = await startHttps((_, response) => response.writeHead(404).end('internal'));
  if ('skip' in weights) return test.skip(weights.skip);
  const redis = await startRedis();
  const receiver = await startReceiver((response, earlier) =>
    response.writeHead(earlier === 0 ? 500 : 204).end(),
  );
  try {
    const admin = createRedis(redis.url, 'worker');
    await admin.config('SET', 'requirepass', REDIS_PASSWORD);
    const { key: apiKey } = await createApiKey(
      { redis: admin, prefix: 'secrets' },
      { tenant: 'birds', name: 'a test', role: 'admin', quotas: UNLIMITED, uriPrefixes: null },
    );
    admin.disconnect();
    const redisUrl = redis.url.replace('//', `//default:${REDIS_PASSWORD}@`);
    await drawTwoClasses(join(folder, 'data', 'pictures'));
    const env = {
      REDIS_URL: redisUrl,
      QUEUE_PREFIX: 'secrets',
      OUTPUT_URI: `s3://${bucket}/jobs/`,
      FILE_ROOTS: join(folder, 'data'),
      ALLOWED_NETWORKS: LOOPBACK.join(),
      S3_ENDPOINT: endpoint,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      WEBHOOK_SECRET,
      WEBHOOK_RETRY_DELAYS_SECONDS: '0.1,0.1',
      WORK_DIR: join(folder, 'work'),
      CACHE_DIR: join(folder, 'cache'),
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
      LOG_LEVEL: 'trace',
    };
    const api = await startApi(env);
    const worker = await startWorker(env);
    const client = new HeadstartClient(api.url, { apiKey });
    const webhook = await client.createWebhook({ url: `${receiver.url}?token=${URL_SECRET}` });
    const rotated = await client.rotateWebhookSecret(webhook.id);
    const wrongKey = `${apiKey}-wrong`;
    await expect(new HeadstartClient(api.url, { apiKey: wrongKey }).listJobs()).rejects.toMatchObject({
      code: 'unauthorized',
    });
    const request = (change: Partial<JobRequestInput>): JobRequestInput => ({
      datasetUri: `file://${join(folder, 'data', 'pictures')}/`,
      scenario: 'small-different',
      webhook: { url: `${receiver.url}?token=${URL_SECRET}` },
      training: { epochs: 2 },
      ...change,
      model: { weights: 'random', inputSize: 32, featureLayer: 'block1_pool', ...change.model },
    });
    const archive = `${weights.origin}/set?sign=${URL_SECRET}&name=.zip`;
    const answers: unknown[] = [];
    for (const [change, status, code] of [
      [{}, 'succeeded', null],
      [
        { model: { weights: `${weights.origin}/vgg?sign=${URL_SECRET}&name=.h5` } },
        'failed',
        'weights_unavailable',
      ],
      [{ datasetUri: archive }, 'failed', 'dataset_not_found'],
      [{ webhook: { url: `http://10.0.0.1/?token=${URL_SECRET}` } }, null, 'uri_forbidden'],
    ] as const) {
      const job = await client.createJob(request(change)).then(
        ({ id }) => client.waitForJob(id),
        (error: unknown) => error as AppError,
      );
      if (job instanceof AppError) {
        expect(job.code).toBe(code);
        answers.push(job.toJobError());
        continue;
      }
      expect(job).toMatchObject({ status, error: code === null ? null : { code } });
      answers.push(withoutRequest(job));
    }
    await poll('the webhooks', () => (receiver.received.length >= 7 ? true : null));
    worker.signal('SIGTERM');
    await worker.ended;
    answers.push(await client.listWebhookDeliveries(webhook.id));

    process.env['AWS_ACCESS_KEY_ID'] = accessKeyId;
    process.env['AWS_SECRET_ACCESS_KEY'] = secretAccessKey;
    const s3Config = { endpoint, region: 'us-east-1', forcePathStyle: true };
    const stores = createStores({ fileRoots: [], allowedNetworks: [], s3: s3Config });
    const store = stores.open(`s3://${bucket}/`);
    const objects: string[] = [];
    for (const { key } of await listAll(store))
      objects.push(key, Buffer.from(await store.readBytes(key, MAX_BYTES)).toString('latin1'));
    stores.close();

    const left: Record<string, string> = {
      'the API’s log': logOf(api),
      'the worker’s log': logOf(worker),
      'the answers': JSON.stringify(answers),
      'the webhooks': receiver.received.map(({ body }) => body).join('\n'),
      'the artifacts': objects.join('\n'),
      'the folders': await readTree(folder),
      Redis: await dumpRedis(redisUrl),
    };
    for (const [where, text] of Object.entries(left)) {
      expect(text.length, where).toBeGreaterThan(100);
      const signing = [WEBHOOK_SECRET, webhook.secret, rotated.secret].map((one) =>
        one.slice('whsec_'.length),
      );
      const secrets = [...signing, REDIS_PASSWORD, secretAccessKey];
      for (const secret of [...secrets, apiKey.slice('hs_'.length)])
        expect(text.includes(secret), `${where}: ${secret}`).toBe(false);
      // The record of a queued job has to hold the URL that its worker reads.
      if (where !== 'Redis') expect(text.includes(URL_SECRET), `${where}: the query of a URL`).toBe(false);
    }
    expect(left['the artifacts']).toContain('job.json');
  } finally {
    await receiver.close();
    await weights.stop();
    await redis.stop();
  }
});
