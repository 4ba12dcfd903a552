import {
  canceledError,
  AppError,
  type EpochMetrics,
  Job,
  WEBHOOK_EVENTS,
  WebhookEvent,
} from '@headstart/contracts';
import {
  addJob,
  announceEnding,
  cancelJob,
  decideEnding,
  findJob,
  getRecord,
  JOBS_QUEUE,
  type JobPayload,
  type JobRecord,
  newJobId,
  readPayload,
  removeJob,
  toJob,
  toQueueError,
  updatePayload,
} from '@headstart/queue';
import { Worker } from 'bullmq';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { makePayload, openQueueParts, PROGRESS, type QueueParts } from '../support/queue.js';

const EPOCH: EpochMetrics = {
  epoch: 1,
  stage: 'full',
  loss: 0.5,
  accuracy: 0.75,
  valLoss: 0.6,
  valAccuracy: 0.7,
  learningRate: 0.001,
  seconds: 2,
  picturesPerSecond: 40,
};
const WEBHOOK = { url: 'https://example.com/hook', events: [...WEBHOOK_EVENTS] };

let parts: QueueParts;
let workers: Worker[];

beforeEach(() => {
  parts = openQueueParts(inject('redisUrl'));
  workers = [];
});
afterEach(async () => {
  await Promise.all(workers.map((worker) => worker.close(true)));
  await parts.close();
});

type Processor = (record: JobRecord, token?: string, signal?: AbortSignal) => Promise<unknown>;

function startWorker(process: Processor): Worker<JobPayload> {
  const worker = new Worker<JobPayload>(
    JOBS_QUEUE,
    // BullMQ hands over the signal only to a processor with exactly three parameters.
    (record, token, signal) => process(record, token, signal),
    { connection: parts.redis, prefix: parts.prefix },
  );
  worker.on('error', () => undefined);
  workers.push(worker);
  return worker;
}

const settled = (worker: Worker, event: 'completed' | 'failed') =>
  new Promise<void>((resolve) => worker.once(event as 'completed', () => resolve()));

async function read(id: string): Promise<Job> {
  const record = await findJob(parts.jobs, id);
  if (!record) throw new Error(`no job ${id}`);
  return Job.parse(await toJob(record));
}

async function add(payload = makePayload(), priority = 500): Promise<JobRecord> {
  return (await addJob(parts, newJobId(), payload, priority)).record;
}

async function cancel(id: string, by: QueueParts = parts): Promise<Job> {
  return cancelJob(by, await getRecord(by.jobs, id));
}

describe('a job on record', () => {
  it('is queued, runs with progress and metrics, and succeeds', async () => {
    const payload = makePayload({ metadata: { team: 'birds' } });
    const { id = '' } = await add(payload, 7);
    expect(await read(id)).toMatchObject({
      id,
      status: 'queued',
      phase: null,
      progress: null,
      attempts: 0,
      priority: 7,
      metadata: { team: 'birds' },
      startedAt: null,
      finishedAt: null,
    });

    const seen: Job[] = [];
    const worker = startWorker(async (record) => {
      await record.updateProgress(PROGRESS);
      const runtime = { engine: 'cpu', device: 'cpu', versions: {} };
      await updatePayload(parts.redis, record, ({ metrics }) => ({ metrics: [...metrics, EPOCH], runtime }));
      seen.push(await read(id));
    });
    await settled(worker, 'completed');
    expect(seen[0]).toMatchObject({
      status: 'running',
      phase: 'training',
      progress: PROGRESS,
      metrics: [EPOCH],
      attempts: 1,
      engine: 'cpu',
    });
    const ended = await read(id);
    expect(ended).toMatchObject({ status: 'succeeded', error: null, metrics: [EPOCH] });
    expect(ended.finishedAt).not.toBeNull();
  });

  it('fails for good with the error of the worker, and is tried again after an outage', async () => {
    const bad = await add();
    const worker = startWorker(async () => {
      throw toQueueError(new AppError('diverged', 'NaN.', { details: { lastCheckpointEpoch: 2 } }));
    });
    await settled(worker, 'failed');
    expect(await read(bad.id ?? '')).toMatchObject({
      status: 'failed',
      attempts: 1,
      error: { code: 'diverged', details: { lastCheckpointEpoch: 2 } },
    });
    await worker.close();

    const unlucky = await add();
    const other = startWorker(async () => {
      throw toQueueError(new AppError('storage_unavailable', 'The store is away.'));
    });
    await settled(other, 'failed');
    expect(await read(unlucky.id ?? '')).toMatchObject({ status: 'queued', attempts: 1, error: null });
    const [waiting] = await parts.jobs.getDelayed();
    expect(waiting).toMatchObject({
      id: unlucky.id,
      delay: 5000,
      opts: { attempts: 5, backoff: { type: 'exponential' } },
    });
  });

  it('has ended still where it is removed behind the reading of its record, and is removed by both who asked', async () => {
    const { id = '' } = await add();
    await settled(
      startWorker(async () => undefined),
      'completed',
    );
    const [first, second] = await Promise.all([getRecord(parts.jobs, id), getRecord(parts.jobs, id)]);
    await removeJob(parts, first);
    expect(await toJob(second)).toMatchObject({ id, status: 'succeeded' });
    await removeJob(parts, second);
  });

  it("is not found under the names of BullMQ's own keys", async () => {
    await add();
    for (const id of ['meta', 'id', '1', 'a:lock']) expect(await findJob(parts.jobs, id)).toBeUndefined();
  });

  it('is taken by priority, and in order within one', async () => {
    const ids: string[] = [];
    for (const priority of [1000, 500, 1, 500, 2]) ids.push((await add(makePayload(), priority)).id ?? '');
    const order: string[] = [];
    const worker = startWorker(async ({ id = '' }) => {
      order.push(id);
    });
    await new Promise<void>((resolve) => worker.once('drained', resolve));
    expect(order.map((id) => ids.indexOf(id))).toEqual([2, 4, 1, 3, 0]);
  });
});

describe('canceling', () => {
  it('ends a queued job without a worker, with one webhook, and stays so when a worker drops it', async () => {
    const { id = '' } = await add(makePayload({ webhook: WEBHOOK }));
    const canceled = await cancel(id);
    expect(canceled).toMatchObject({ status: 'canceled', error: { code: 'canceled' }, startedAt: null });
    expect(canceled.finishedAt).not.toBeNull();
    expect(await cancel(id)).toEqual(canceled);

    const meanwhile: Job[] = [];
    const worker = startWorker(async (record) => {
      meanwhile.push(await read(id));
      expect((await readPayload(parts.redis, record))?.canceledAt).toBe(canceled.finishedAt);
      const ending = { status: 'canceled', error: null, at: new Date().toISOString() } as const;
      const decided = await decideEnding(parts.redis, record, ending, record.attemptsStarted);
      expect(decided).toMatchObject({ status: 'canceled', at: canceled.finishedAt });
      if (decided) await announceEnding(parts, record, decided);
      throw toQueueError(canceledError());
    });
    await settled(worker, 'failed');
    expect(meanwhile[0]?.status).toBe('canceled');
    expect(await read(id)).toMatchObject({ status: 'canceled', finishedAt: canceled.finishedAt });

    const [webhook, ...others] = await parts.webhooks.getJobs();
    expect(others).toEqual([]);
    expect(webhook?.id).toBe(`${id}_job_canceled`);
    expect(WebhookEvent.parse(webhook?.data.event)).toMatchObject({ type: 'job.canceled', data: { id } });
  });

  it.each([
    ['when it is asked for again', cancelJob],
    ['when the job is removed', removeJob],
  ])('that came no further than its mark has its webhook %s', async (_when, act) => {
    const record = await add(makePayload({ webhook: WEBHOOK }));
    await updatePayload(parts.redis, record, () => ({ canceledAt: new Date().toISOString() }));
    await act(parts, await getRecord(parts.jobs, record.id ?? ''));
    const ids = (await parts.webhooks.getJobs()).map(({ id }) => id);
    expect(ids).toEqual([`${record.id}_job_canceled`]);
  });

  it('sends no webhook that was not asked for', async () => {
    const { id = '' } = await add(makePayload({ webhook: { ...WEBHOOK, events: ['job.failed'] } }));
    await cancel(id);
    expect(await parts.webhooks.getJobCounts()).toMatchObject({ waiting: 0 });
  });

  it('reaches the worker that runs the job, in another connection', async () => {
    const { id = '' } = await add();
    const other = openQueueParts(inject('redisUrl'), parts.prefix);
    try {
      let running = () => {};
      const started = new Promise<void>((resolve) => (running = resolve));
      const worker = startWorker(async (_record, _token, signal) => {
        running();
        await new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve()));
        throw toQueueError(canceledError());
      });
      await parts.channel.subscribe(({ jobId }) => void worker.cancelJob(jobId));
      await started;
      const failed = settled(worker, 'failed');
      const answer = await cancel(id, other);
      expect(['running', 'canceled']).toContain(answer.status);
      await failed;
      expect(await read(id)).toMatchObject({ status: 'canceled', error: { code: 'canceled' } });
      await expect(cancel(id)).resolves.toMatchObject({ status: 'canceled' });
    } finally {
      await other.channel.close();
      other.redis.disconnect();
    }
  });

  it('refuses a job that has ended, and one that never was', async () => {
    const { id = '' } = await add();
    await settled(
      startWorker(async () => undefined),
      'completed',
    );
    await expect(cancel(id)).rejects.toMatchObject({ code: 'job_ended', status: 409 });
    await expect(cancel(newJobId())).rejects.toMatchObject({ code: 'job_not_found' });
  });

  it('and metrics do not undo each other', async () => {
    const record = await add();
    const copy = await findJob(parts.jobs, record.id ?? '');
    if (!copy) throw new Error('no copy');
    const now = new Date().toISOString();
    await Promise.all([
      ...Array.from({ length: 20 }, (_, index) =>
        updatePayload(parts.redis, record, ({ metrics }) => ({
          metrics: [...metrics, { ...EPOCH, epoch: index + 1 }],
        })),
      ),
      updatePayload(parts.redis, copy, () => ({ canceledAt: now })),
    ]);
    const payload = await readPayload(parts.redis, record);
    expect(payload?.metrics.map(({ epoch }) => epoch).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 20 }, (_, index) => index + 1),
    );
    expect(payload?.canceledAt).toBe(now);
  });
});
