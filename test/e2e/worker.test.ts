import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Manifest, type WebhookEvent } from '@headstart/contracts';
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { type Deployment, hasEnded, startDeployment, WEBHOOK_SECRET } from '../support/deployment.js';
import { poll } from '../support/poll.js';
import { freePort } from '../../scripts/src/processes.js';
import { gone } from '../support/processes.js';
import { startReceiver } from '../support/receiver.js';
import type { LogLine, Service } from '../support/services.js';
import { startTcpProxy } from '../support/tcp-proxy.js';

/** Long enough to be cut in the middle of. */
const LONG = { epochs: 300 };

let deployment: Deployment;
beforeEach(async () => {
  deployment = await startDeployment(inject('redisUrl'));
});
afterEach(() => deployment.end());

const started = ({ msg }: LogLine) => msg === 'attempt started';
const hasEpochs = (count: number) => (job: { metrics: unknown[] }) => job.metrics.length >= count;

async function trainerPid(worker: Service): Promise<number> {
  return Number((await worker.waitForLog(started))['trainerPid']);
}

async function readOutput(uri: string): Promise<Buffer> {
  return readFile(fileURLToPath(uri));
}

describe('a job', () => {
  it('goes from its pictures to a model, a manifest and a webhook', async () => {
    const receiver = await startReceiver((response) => void response.writeHead(204).end());
    const worker = await deployment.startWorker();
    const { id } = await deployment.post({
      webhook: { url: receiver.url },
      training: { epochs: 20 },
    });
    const job = await deployment.waitFor(id, hasEnded);
    expect(job).toMatchObject({
      status: 'succeeded',
      attempts: 1,
      engine: 'onnxruntime',
      error: null,
      phase: 'upload',
    });
    expect(job.metrics.map(({ epoch }) => epoch)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(job.metrics.at(-1)?.valAccuracy).toBe(1);

    const events = await (await fetch(`${deployment.api.url}/jobs/${id}/events`)).text();
    const told = (name: string) =>
      [...events.matchAll(new RegExp(`"${name}":"([a-z]+)"`, 'g'))].map((m) => m[1]);
    expect(told('status')).toEqual(['queued', 'running', 'succeeded']);
    expect(told('phase')).toEqual(['dataset', 'plan', 'features', 'training', 'export', 'upload']);
    expect(told('type').filter((type) => type === 'epoch')).toHaveLength(20);

    const manifest = Manifest.parse(
      JSON.parse(String(await readOutput(job.artifacts?.files['manifest'] ?? ''))),
    );
    expect(Object.keys(job.artifacts?.files ?? {}).sort()).toEqual(
      [
        'confusionMatrix',
        'curves',
        'job',
        'labels',
        'manifest',
        'metrics',
        'metricsCsv',
        'model',
        'predictions',
        'report',
      ].sort(),
    );
    for (const file of manifest.files) {
      const bytes = await readOutput(`${job.artifacts?.uri}${file.path}`);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      expect({ path: file.path, sizeBytes: bytes.length, sha256 }).toEqual(file);
    }
    expect(manifest).toMatchObject({ jobId: id, attempt: 1, exportedEpoch: 20, seed: 1 });

    const [hook] = await poll('the webhook', () => (receiver.received.length > 0 ? receiver.received : null));
    const event = new Webhook(WEBHOOK_SECRET).verify(
      hook?.body ?? '',
      hook?.headers as Record<string, string>,
    ) as WebhookEvent;
    expect(event).toMatchObject({
      type: 'job.succeeded',
      data: { id, status: 'succeeded', artifacts: job.artifacts },
    });
    expect(readdirSync(join(deployment.folder, 'work-1'))).toEqual([]);

    worker.signal('SIGTERM');
    expect(await worker.ended).toEqual({ code: 0, signal: null });
    await receiver.close();
  });

  it('has all cores of a worker that is alone, and its share of them beside another one', async () => {
    const threads = async () => {
      const { versions } = await deployment.waitFor((await deployment.post()).id, hasEnded);
      return Number(versions?.['threads']);
    };
    await deployment.startWorker();
    const alone = await threads();
    expect(alone).toBeGreaterThanOrEqual(1);
    await deployment.startWorker();
    expect(await threads()).toBe(Math.max(1, Math.floor(alone / 2)));
  });

  it('that fails says why, and tells its receiver', async () => {
    const receiver = await startReceiver((response) => void response.writeHead(200).end());
    await deployment.startWorker();
    const { id } = await deployment.post({
      webhook: { url: receiver.url, events: ['job.failed'] },
      training: { epochs: 10, learningRate: 10, optimizer: { type: 'sgd', momentum: 0.99 } },
      model: {
        head: [
          { units: 512, activation: 'linear' },
          { units: 512, activation: 'linear' },
        ],
      },
    });
    const job = await deployment.waitFor(id, hasEnded);
    expect(job).toMatchObject({ status: 'failed', attempts: 1, error: { code: 'diverged' } });
    expect(job.error?.details).toHaveProperty('lastCheckpointUri');
    const [hook] = await poll('the webhook', () => (receiver.received.length > 0 ? receiver.received : null));
    const event = JSON.parse(hook?.body ?? '') as WebhookEvent;
    expect(event).toMatchObject({ type: 'job.failed', data: { id, error: { code: 'diverged' } } });
    await receiver.close();
  });

  it('fails with weights_unavailable where the ImageNet weights cannot be had', async () => {
    await deployment.startWorker({
      IMAGENET_WEIGHTS_URL: `http://127.0.0.1:${await freePort()}/weights.h5`,
    });
    const { id } = await deployment.post({ model: { weights: 'imagenet' } });
    const job = await deployment.waitFor(id, hasEnded);
    expect(job).toMatchObject({ status: 'failed', error: { code: 'weights_unavailable', retryable: false } });
    expect(job.error?.detail).toContain(join(deployment.folder, 'cache'));
    expect(job.error?.detail).toContain('"random"');
  });

  it('fails with disk_full where its features do not fit', async ({ skip }) => {
    const cacheDir = join(deployment.folder, 'tiny');
    const mounted = mountTiny(cacheDir);
    skip(mounted !== true, `needs a small file system of its own: ${String(mounted)}`);
    try {
      await deployment.startWorker({ CACHE_DIR: cacheDir });
      const { id } = await deployment.post({
        // 1 MB a picture.
        model: { inputSize: 128, pooling: 'flatten', head: [] },
      });
      const job = await deployment.waitFor(id, hasEnded);
      expect(job).toMatchObject({ status: 'failed', attempts: 1, error: { code: 'disk_full' } });
    } finally {
      execFileSync('umount', ['-l', cacheDir]);
    }
  });

  it('ends with timed_out when its time is up, and keeps its checkpoints', async () => {
    await deployment.startWorker();
    const { id } = await deployment.post({ training: { epochs: 10_000, maxDurationSeconds: 6 } });
    const job = await deployment.waitFor(id, hasEnded);
    expect(job).toMatchObject({ status: 'failed', error: { code: 'timed_out' } });
    const { lastCheckpointUri } = job.error?.details ?? {};
    expect(readdirSync(fileURLToPath(String(lastCheckpointUri)))).toContain('checkpoint.json');
  });
});

describe('a worker', () => {
  it('ends when it was told to while Redis was away', async () => {
    const { hostname, port } = new URL(inject('redisUrl'));
    const proxy = await startTcpProxy({ host: hostname, port: Number(port) });
    const worker = await deployment.startWorker({ REDIS_URL: `redis://127.0.0.1:${proxy.port}` });
    await proxy.cut();
    await worker.waitForLog(({ msg }) => msg.startsWith('Redis does not answer'));
    worker.signal('SIGTERM');
    await worker.waitForLog(({ msg }) => msg.startsWith('closing;'));
    await proxy.restore();
    expect(await worker.ended).toEqual({ code: 0, signal: null });
    await proxy.cut();
  });
});

describe('a running job', () => {
  it('outlives its worker: another one goes on', async () => {
    const first = await deployment.startWorker();
    const { id } = await deployment.post({ training: LONG });
    const before = await deployment.waitFor(id, ({ checkpoint }) => (checkpoint?.epoch ?? 0) >= 3);
    const trainer = await trainerPid(first);
    first.signal('SIGKILL');
    await first.ended;
    await gone(trainer);

    const second = await deployment.startWorker();
    const job = await deployment.waitFor(id, hasEnded);
    expect(job).toMatchObject({ status: 'succeeded', attempts: 2, startedAt: before.startedAt });
    expect(job.metrics.map(({ epoch }) => epoch)).toEqual(
      Array.from({ length: LONG.epochs }, (_, i) => i + 1),
    );
    const resumed = await second.waitForLog(({ msg }) => msg === 'going on from a checkpoint');
    expect(resumed['epochs']).toBeGreaterThanOrEqual(3);
  });

  it('goes back to the queue on SIGTERM, and another worker goes on from its checkpoint', async () => {
    const first = await deployment.startWorker();
    const { id } = await deployment.post({ training: LONG });
    await deployment.waitFor(id, hasEpochs(3));
    first.signal('SIGTERM');
    expect(await first.ended).toEqual({ code: 0, signal: null });
    const queued = await deployment.client.getJob(id);
    expect(queued).toMatchObject({ status: 'queued', attempts: 1 });

    const second = await deployment.startWorker();
    const job = await deployment.waitFor(id, hasEnded);
    expect(job).toMatchObject({ status: 'succeeded', attempts: 2 });
    // Not one epoch was trained twice: what the first worker reported is still there, to the last digit, and the second
    // went on right behind it.
    expect(job.metrics.slice(0, queued.metrics.length)).toEqual(queued.metrics);
    const resumed = await second.waitForLog(({ msg }) => msg === 'going on from a checkpoint');
    expect(resumed['epochs']).toBe(queued.metrics.length);
    expect(job.metrics).toHaveLength(LONG.epochs);
  });

  it('is tried again when its trainer crashes', async () => {
    const worker = await deployment.startWorker();
    const { id } = await deployment.post({ training: LONG });
    await deployment.waitFor(id, hasEpochs(2));
    process.kill(await trainerPid(worker), 'SIGKILL');
    const ended = await worker.waitForLog(({ msg }) => msg === 'attempt ended');
    expect(ended).toMatchObject({ ending: 'failed', err: { code: 'trainer_crashed', retryable: true } });
    const job = await deployment.waitFor(id, hasEnded);
    expect(job).toMatchObject({ status: 'succeeded', attempts: 2 });
  });

  it('is tried again, and says so, when its trainer makes no progress', async () => {
    const worker = await deployment.startWorker({ STALL_TIMEOUT_MINUTES: '0.1' });
    const { id } = await deployment.post({ training: LONG });
    await deployment.waitFor(id, hasEpochs(2));
    const trainer = await trainerPid(worker);
    process.kill(trainer, 'SIGSTOP');
    const ended = await worker.waitForLog(({ msg }) => msg === 'attempt ended');
    expect(ended).toMatchObject({ ending: 'failed', err: { code: 'trainer_stalled', retryable: true } });
    await gone(trainer);
    const job = await deployment.waitFor(id, hasEnded);
    expect(job).toMatchObject({ status: 'succeeded', attempts: 2 });
    expect(job.warnings).toEqual([expect.stringContaining('no progress for 0.1 minutes')]);
    expect((await deployment.warningsOf(id)).map(({ message }) => message)).toEqual(job.warnings);
  });

  it('goes on while the API is gone', async () => {
    await deployment.startWorker();
    const { id } = await deployment.post({ training: LONG });
    await deployment.waitFor(id, hasEpochs(1));
    deployment.api.signal('SIGKILL');
    await deployment.api.ended;
    await deployment.restartApi();
    const job = await deployment.waitFor(id, hasEnded);
    expect(job).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect(job.metrics).toHaveLength(LONG.epochs);
  });

  it.each([
    { lock: 'still holds', lockMs: 60_000, attempts: 1 },
    // The first attempt's success is not recorded, as its lock is lost: the next one ends as that decided, or finds the manifest.
    { lock: 'has run out', lockMs: 1000, attempts: 2 },
  ])('goes on while Redis is away, and the lock $lock', async ({ lockMs, attempts }) => {
    const { hostname, port } = new URL(inject('redisUrl'));
    const proxy = await startTcpProxy({ host: hostname, port: Number(port) });
    const worker = await deployment.startWorker({
      REDIS_URL: `redis://127.0.0.1:${proxy.port}`,
      LOCK_DURATION_MS: String(lockMs),
    });
    const { id, plan } = await deployment.post({ training: LONG });
    await deployment.waitFor(id, hasEpochs(2));
    await proxy.cut();
    const output = join(deployment.folder, 'output', id);
    await poll('the model to be published', () => (existsSync(join(output, 'manifest.json')) ? true : null));
    await proxy.restore();
    const job = await deployment.waitFor(id, hasEnded);
    expect(job).toMatchObject({ status: 'succeeded', attempts, error: null });
    expect(job.metrics).toHaveLength(plan.training.epochs);
    worker.signal('SIGTERM');
    expect(await worker.ended).toEqual({ code: 0, signal: null });
    const endings = worker.logs.filter(({ msg }) => msg === 'attempt ended').map(({ ending }) => ending);
    expect(endings).toEqual(Array(attempts).fill('done'));
    await proxy.cut();
  });

  it('ends at once with its worker on a second signal', async () => {
    const worker = await deployment.startWorker();
    // A step of this one takes long: the first signal alone would wait for its end.
    const { id } = await deployment.post({
      model: { inputSize: 224, featureLayer: 'block1_pool' },
      training: { epochs: 2, augmentation: { flip: true } },
    });
    await deployment.waitFor(id, ({ phase }) => phase === 'training');
    const trainer = await trainerPid(worker);
    worker.signal('SIGTERM');
    await worker.waitForLog(({ msg }) => msg.startsWith('closing;'));
    worker.signal('SIGTERM');
    expect(await worker.ended).toEqual({ code: 1, signal: null });
    await gone(trainer);
  });

  it('is canceled within five seconds, and tells its receiver', async () => {
    const receiver = await startReceiver((response) => void response.writeHead(200).end());
    const worker = await deployment.startWorker();
    const { id } = await deployment.post({ training: { epochs: 10_000 }, webhook: { url: receiver.url } });
    await deployment.waitFor(id, hasEpochs(1));
    const trainer = await trainerPid(worker);
    await deployment.client.cancelJob(id);
    const job = await deployment.waitFor(id, hasEnded, 5000);
    expect(job).toMatchObject({ status: 'canceled', error: { code: 'canceled' } });
    await gone(trainer);
    const [hook] = await poll('the webhook', () => (receiver.received.length > 0 ? receiver.received : null));
    expect(JSON.parse(hook?.body ?? '')).toMatchObject({ type: 'job.canceled', data: { id } });
    await receiver.close();
  });
});

/** @returns true, or why a file system of 3 MB cannot be mounted there. */
function mountTiny(folder: string): true | string {
  mkdirSync(folder, { recursive: true });
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', folder], { stdio: 'pipe' });
    return true;
  } catch (error) {
    return error instanceof Error ? (error.message.split('\n').at(-2) ?? error.message) : String(error);
  }
}
