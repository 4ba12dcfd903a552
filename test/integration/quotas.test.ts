import {
  addJob,
  cancelJob,
  getRecord,
  type JobPayload,
  type JobRecord,
  JOBS_QUEUE,
  newJobId,
  toJob,
} from '@headstart/queue';
import { callNext, leaveBeyondQuota } from '@headstart/worker';
import { DelayedError, Worker } from 'bullmq';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { type Answer, makeFolders, startApi, type TestApi } from '../support/api.js';
import { type Holder, makeHolder, UNLIMITED } from '../support/keys.js';
import { poll } from '../support/poll.js';
import { makePayload, openQueueParts, type QueueParts } from '../support/queue.js';

const idOf = ({ body }: Answer) => String(body['id']);

describe('the quota of queued jobs', () => {
  let api: TestApi;
  let datasetUri: string;
  beforeEach(async () => {
    api = await startApi(inject('redisUrl'));
    datasetUri = await makeFolders(join(api.root, 'flowers'), ['tulip', 'daisy']);
  });
  afterEach(() => api.close());

  const limited = (queued: number) => makeHolder(api, { tenant: 'birds', quotas: { ...UNLIMITED, queued } });
  const post = ({ ask }: Holder, headers: Record<string, string> = {}, url = '/jobs') =>
    ask({ method: 'POST', url, headers, payload: { datasetUri, scenario: 'small-similar' } });
  const statusOf = async (answer: Promise<Answer>) => (await answer).status;

  it('refuses a post beyond it, and no other tenant’s', async () => {
    const birds = await limited(2);
    expect([await statusOf(post(birds)), await statusOf(post(birds))]).toEqual([202, 202]);
    const refused = await post(birds);
    expect(refused).toMatchObject({
      status: 429,
      body: { code: 'quota_exceeded', retryable: true, details: { queued: 2, maxQueued: 2 } },
    });
    expect(refused.headers['ratelimit-limit']).toBeDefined();
    expect(await statusOf(post(birds, {}, '/jobs?dryRun=true'))).toBe(200);
    expect(await statusOf(post(await makeHolder(api, { tenant: 'fish' })))).toBe(202);
    // The quota is the key's, and counts the tenant's jobs: another key may allow more.
    expect(await statusOf(post(await makeHolder(api, { tenant: 'birds' })))).toBe(202);
    expect(await statusOf(post(birds))).toBe(429);
  });

  it('lets no more through when many come at once', async () => {
    const birds = await limited(5);
    const statuses = await Promise.all(Array.from({ length: 40 }, () => statusOf(post(birds))));
    expect(statuses.filter((status) => status === 202)).toHaveLength(5);
    expect(statuses.filter((status) => status === 429)).toHaveLength(35);
    expect((await api.queue.jobs.getJobCounts())['prioritized']).toBe(5);
  });

  it('does not stand in the way of a post that made its job before', async () => {
    const birds = await limited(1);
    const headers = { 'idempotency-key': 'key-1' };
    const answers = await Promise.all(Array.from({ length: 10 }, () => post(birds, headers)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
    expect(new Set(answers.map(idOf)).size).toBe(1);
    expect(await statusOf(post(birds, { 'idempotency-key': 'key-2' }))).toBe(429);
    expect(await statusOf(post(birds, headers))).toBe(202);
  });

  it('has room when a job is canceled, is taken, or has ended, whoever saw that', async () => {
    const birds = await limited(1);
    const first = idOf(await post(birds));
    expect(await statusOf(post(birds))).toBe(429);
    await birds.ask({ method: 'POST', url: `/jobs/${first}/cancel` });

    const second = idOf(await post(birds));
    expect(await statusOf(post(birds))).toBe(429);
    const { redis: connection, prefix } = api.queue;
    const worker = new Worker<JobPayload>(JOBS_QUEUE, null, { connection, prefix });
    const token = newJobId();
    let taken = await worker.getNextJob(token);
    if (taken?.id === first) taken = await worker.getNextJob(token);
    expect(taken?.id).toBe(second);
    // A tenant is not counted anew for each post that is refused.
    const room = async () => {
      const answer = await post(birds);
      return answer.status === 202 ? answer : null;
    };
    const third = idOf(await poll('room', room, 2000));
    expect(await statusOf(post(birds))).toBe(429);

    // Its worker dies before it can say that the job has ended.
    taken = await worker.getNextJob(token);
    expect(taken?.id).toBe(third);
    await taken?.moveToCompleted(null, token, false);
    await worker.close();
    await poll('room', room, 2000);
    expect(await statusOf(post(birds))).toBe(429);
  });

  it('counts what is run again', async () => {
    const birds = await limited(1);
    const id = idOf(await post(birds));
    await birds.ask({ method: 'POST', url: `/jobs/${id}/cancel` });
    const retry = () => birds.ask({ method: 'POST', url: `/jobs/${id}/retry` });
    expect(await retry()).toMatchObject({ status: 202, body: { retryOf: id } });
    expect(await retry()).toMatchObject({ status: 429, body: { code: 'quota_exceeded' } });
  });
});

describe('the quota of running jobs', () => {
  let parts: QueueParts;
  let workers: Worker[];
  let running: Map<string, () => void>;
  /** The most of a tenant's jobs that have run at once. */
  let most: Map<string, number>;
  let finished: string[];
  beforeEach(() => {
    parts = openQueueParts(inject('redisUrl'));
    workers = [];
    running = new Map();
    most = new Map();
    finished = [];
  });
  afterEach(async () => {
    await Promise.all(workers.map((worker) => worker.close(true)));
    await parts.close();
  });

  const logger = pino({ level: 'silent' });

  async function add(tenant: string, maxRunning?: number, priority = 500): Promise<string> {
    const id = newJobId();
    const payload = { ...makePayload(), tenant, ...(maxRunning !== undefined && { maxRunning }) };
    await addJob(parts, id, payload, priority);
    return id;
  }

  /** A worker as the service's own, whose jobs run until the test or `work` ends them. */
  function startWorker(work?: (id: string) => Promise<void>): Worker<JobPayload> {
    const tenants = new Map<string, Set<string>>();
    const worker: Worker<JobPayload> = new Worker<JobPayload>(
      JOBS_QUEUE,
      async (job, token) => {
        const { id = '', data } = job;
        await leaveBeyondQuota(parts, job, token, logger);
        const tenant = data.tenant ?? '';
        tenants.set(tenant, (tenants.get(tenant) ?? new Set()).add(id));
        const ofTenant = [...running.keys()].filter((key) => key.startsWith(`${tenant}:`)).length + 1;
        most.set(tenant, Math.max(most.get(tenant) ?? 0, ofTenant));
        const released = new Promise<void>((resolve) => running.set(`${tenant}:${id}`, resolve));
        await (work ? work(id) : released);
        running.delete(`${tenant}:${id}`);
        finished.push(id);
      },
      { connection: parts.redis, prefix: parts.prefix, stalledInterval: 200 },
    );
    worker.on('error', () => undefined);
    worker.on('completed', ({ data }) => void callNext(parts, data.tenant ?? '', logger));
    worker.on('failed', (job) => job && void callNext(parts, job.data.tenant ?? '', logger));
    workers.push(worker);
    return worker;
  }

  /** Two jobs of a tenant that may run one, both taken by a worker: the first has the slot. */
  async function takeTwo(): Promise<{ first: JobRecord; second: JobRecord }> {
    const ids = [await add('birds', 1), await add('birds', 1)];
    const options = { connection: parts.redis, prefix: parts.prefix };
    const worker = new Worker<JobPayload>(JOBS_QUEUE, null, options);
    workers.push(worker);
    const [first, second] = [await worker.getNextJob('a'), await worker.getNextJob('b')];
    if (!first || !second) throw new Error('two jobs were added');
    expect([first.id, second.id]).toEqual(ids);
    await leaveBeyondQuota(parts, first, 'a', logger);
    return { first, second };
  }

  const waitFor = (what: string, isSo: () => boolean) => poll(what, () => (isSo() ? true : null), 10_000);
  const runs = (id: string) => [...running.keys()].some((key) => key.endsWith(id));
  const end = (id: string) => [...running].find(([key]) => key.endsWith(id))?.[1]();
  const stateOf = async (id: string) => (await getRecord(parts.jobs, id)).getState();

  it('leaves a tenant’s jobs beyond it waiting, and lets those of others pass', async () => {
    const birds = [await add('birds', 1), await add('birds', 1), await add('birds', 1, 1)];
    const fish = await add('fish');
    for (let i = 0; i < 3; i++) startWorker();
    await waitFor('fish', () => runs(fish));
    await waitFor('one of birds', () => birds.some(runs));
    await poll('the others to wait', async () => ((await parts.jobs.getDelayedCount()) === 2 ? true : null));
    const [first] = birds.filter(runs);
    const waiting = birds.filter((id) => id !== first);
    for (const id of waiting) {
      // As if nobody had taken it; and it looks again by itself, should nobody call it.
      const record = await getRecord(parts.jobs, id);
      expect(await toJob(record)).toMatchObject({
        status: 'queued',
        attempts: 0,
        startedAt: null,
        error: null,
      });
      expect(record.delay).toBeGreaterThan(0);
      expect(record.delay).toBeLessThanOrEqual(60_000);
    }
    while (finished.length < 3) {
      await waitFor('the next of birds', () => birds.some((id) => runs(id) && !finished.includes(id)));
      birds.filter(runs).forEach(end);
      const before = finished.length;
      await waitFor('it to end', () => finished.length > before);
    }
    expect(most.get('birds')).toBe(1);
    for (const id of birds) expect((await getRecord(parts.jobs, id)).attemptsStarted).toBe(1);
    expect(runs(fish)).toBe(true);
  });

  it('calls the one of the highest priority, and then the oldest', async () => {
    startWorker();
    startWorker();
    const first = await add('birds', 1);
    await waitFor('the first', () => runs(first));
    const ids: string[] = [];
    for (const priority of [500, 900, 500, 1]) {
      ids.push(await add('birds', 1, priority));
      const id = ids.at(-1) ?? '';
      await poll('it to wait', async () => ((await stateOf(id)) === 'delayed' ? true : null));
    }
    const order: string[] = [];
    let current = first;
    for (;;) {
      end(current);
      await waitFor('it to end', () => finished.includes(current));
      if (order.length === ids.length) break;
      await waitFor('the next', () => ids.some(runs));
      current = ids.find(runs) ?? '';
      order.push(current);
    }
    expect(order.map((id) => ids.indexOf(id))).toEqual([3, 0, 2, 1]);
  });

  it('is never exceeded, and no job is forgotten, whatever comes at the same time', async () => {
    const limits = { birds: 2, fish: 1, cells: 3 };
    const ids: string[] = [];
    for (let i = 0; i < 25; i++)
      for (const [tenant, limit] of Object.entries(limits)) ids.push(await add(tenant, limit));
    for (let i = 0; i < 6; i++) startWorker(() => delay(Math.random() * 10));
    await poll('all to end', () => (finished.length === ids.length ? true : null), 30_000);
    expect(finished.toSorted()).toEqual(ids.toSorted());
    for (const [tenant, limit] of Object.entries(limits)) expect(most.get(tenant)).toBeLessThanOrEqual(limit);
    expect(await parts.redis.zcard(`${parts.prefix}:parked:birds`)).toBe(0);
  });

  it('gives a slot on when its job is tried again, is canceled, or is gone', async () => {
    startWorker(async (id) => {
      if (id === failing) throw new Error('It is tried again later.');
    });
    const failing = newJobId();
    await addJob(parts, failing, { ...makePayload(), tenant: 'birds', maxRunning: 1 }, 1);
    const next = await add('birds', 1);
    await waitFor('the next', () => finished.includes(next));
    await cancelJob(parts, await getRecord(parts.jobs, failing));
    const last = await add('birds', 1);
    await waitFor('the last', () => finished.includes(last));
  });

  it('calls a job that was on its way to wait when the last slot became free', async () => {
    const { first, second } = await takeTwo();
    const moveToDelayed = second.moveToDelayed.bind(second);
    second.moveToDelayed = async (at, token) => {
      await first.moveToCompleted(null, 'a', false);
      await callNext(parts, 'birds', logger);
      expect(await second.getState()).toBe('active');
      await moveToDelayed(at, token);
    };
    await expect(leaveBeyondQuota(parts, second, 'b', logger)).rejects.toThrow(DelayedError);
    expect(await second.getState()).toBe('prioritized');
  });

  it('does not keep a job waiting that was canceled on its way there: it is dropped at once', async () => {
    const { second } = await takeTwo();
    const moveToDelayed = second.moveToDelayed.bind(second);
    second.moveToDelayed = async (at, token) => {
      await cancelJob(parts, await getRecord(parts.jobs, second.id ?? ''));
      await moveToDelayed(at, token);
    };
    await expect(leaveBeyondQuota(parts, second, 'b', logger)).rejects.toThrow(DelayedError);
    expect(await second.getState()).toBe('prioritized');
    expect(await toJob(await getRecord(parts.jobs, second.id ?? ''))).toMatchObject({ status: 'canceled' });
  });

  it('is not held by a job whose worker was lost', async () => {
    const lost = await add('birds', 1);
    const dead = new Worker<JobPayload>(JOBS_QUEUE, null, {
      connection: parts.redis,
      prefix: parts.prefix,
      lockDuration: 100,
    });
    const job = await dead.getNextJob('dead');
    if (!job) throw new Error('a job was added');
    await leaveBeyondQuota(parts, job, 'dead', logger);
    await dead.close();
    const next = await add('birds', 1);
    startWorker(async () => undefined);
    await waitFor('both', () => finished.includes(lost) && finished.includes(next));
  });
});
