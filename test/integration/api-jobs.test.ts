import { JobList, type JobSummary } from '@headstart/contracts';
import { addJob, JOBS_QUEUE, newJobId } from '@headstart/queue';
import { Worker } from 'bullmq';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { folderUri, startApi, type TestApi } from '../support/api.js';
import { makePayload } from '../support/queue.js';

let api: TestApi;
let workers: Worker[];

beforeEach(async () => {
  api = await startApi(inject('redisUrl'));
  workers = [];
});
afterEach(async () => {
  await Promise.all(workers.map((worker) => worker.close(true)));
  await api.close();
});

async function add(change: Parameters<typeof makePayload>[0] = {}, outputUri?: string): Promise<string> {
  const id = newJobId();
  const payload = makePayload(change);
  await addJob(api.queue, id, outputUri === undefined ? payload : { ...payload, outputUri }, 500);
  return id;
}

async function list(query = ''): Promise<JobList> {
  const answer = await api.ask({ url: `/jobs${query}` });
  expect(answer.status).toBe(200);
  return JobList.strict().parse(answer.body);
}

/** Reads all pages; `between` runs before each but the first. */
async function readAll(query: string, between: (page: number) => Promise<void> = async () => undefined) {
  const jobs: JobSummary[] = [];
  let cursor: string | null = null;
  for (let page = 0; page === 0 || cursor !== null; page++) {
    if (page > 0) await between(page);
    const next: JobList = await list(`${query}${cursor === null ? '' : `&cursor=${cursor}`}`);
    jobs.push(...next.jobs);
    cursor = next.nextCursor;
  }
  return jobs;
}

function startWorker(process: () => Promise<unknown> = async () => undefined): Worker {
  const { redis: connection, prefix } = api.queue;
  const worker = new Worker(JOBS_QUEUE, process, { connection, prefix });
  worker.on('error', () => undefined);
  workers.push(worker);
  return worker;
}

const next = (worker: Worker, event: 'completed' | 'failed' | 'active') =>
  new Promise<void>((resolve) => worker.once(event as 'completed', () => resolve()));

describe('GET /jobs', () => {
  it('has no jobs at first', async () => {
    expect(await list()).toEqual({ jobs: [], nextCursor: null });
  });

  it('has the newest first, each with its summary', async () => {
    const ids = [await add(), await add({ metadata: { team: 'birds' } })];
    const { jobs } = await list();
    expect(jobs.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
    expect(jobs.map(({ createdAt }) => createdAt)).toEqual(
      jobs.map(({ createdAt }) => createdAt).toSorted((a, b) => (a < b ? 1 : -1)),
    );
    expect(jobs.find(({ id }) => id === ids[1])).toMatchObject({
      status: 'queued',
      scenario: 'small-similar',
      datasetUri: 'file:///data/flowers/',
      metadata: { team: 'birds' },
      metrics: null,
    });
  });

  it('misses and repeats no job while jobs come, run, end and go between two pages', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 25; i++) ids.push(await add());
    const gone: string[] = [];
    const seen = await readAll('?limit=4', async (page) => {
      await add();
      if (page === 1) await next(startWorker(), 'completed');
      if (page === 3) {
        const oldest = (await api.queue.jobs.getCompleted()).find(({ id }) => id === ids[0]);
        if (!oldest) throw new Error('the oldest job has not run');
        await oldest.remove();
        gone.push(oldest.id ?? '');
      }
    });
    expect(gone).toEqual([ids[0]]);
    expect(seen.map(({ id }) => id).toSorted()).toEqual(ids.slice(1).toSorted());
  });

  it('filters by status, scenario and metadata, by several at once', async () => {
    const birds = await add({ metadata: { team: 'birds', stage: 'a=b' } });
    const other = await add({ scenario: 'small-different', metadata: { team: 'cells' } });
    const canceled = await add({ metadata: { team: 'birds' } });
    await api.ask({ method: 'POST', url: `/jobs/${canceled}/cancel` });
    const found = async (query: string) => (await list(query)).jobs.map(({ id }) => id).toSorted();

    expect(await found('?status=canceled')).toEqual([canceled]);
    expect(await found('?status=queued')).toEqual([birds, other].toSorted());
    expect(await found('?status=queued&status=canceled')).toHaveLength(3);
    expect(await found('?scenario=small-different')).toEqual([other]);
    expect(await found('?metadata=team=birds')).toEqual([birds, canceled].toSorted());
    expect(await found('?metadata=team=birds&metadata=stage=a%3Db')).toEqual([birds]);
    expect(await found('?metadata=team=birds&status=queued&scenario=small-similar')).toEqual([birds]);
    expect(await found('?status=failed')).toEqual([]);
  });

  it('finds what runs, what succeeded and what failed', async () => {
    const id = await add();
    let end: (error?: Error) => void = () => undefined;
    const worker = startWorker(
      () => new Promise<void>((resolve, reject) => (end = (error) => (error ? reject(error) : resolve()))),
    );
    await next(worker, 'active');
    const queued = await add();
    const found = async (status: string) => (await list(`?status=${status}`)).jobs.map((job) => job.id);
    expect(await found('running')).toEqual([id]);
    expect(await found('queued')).toEqual([queued]);
    const completed = next(worker, 'completed');
    end();
    await completed;
    expect(await found('succeeded')).toEqual([id]);
  });

  it('looks at no more than 2,000 jobs for a page, and says where to go on', async () => {
    const rare = await add({ metadata: { rare: 'yes' } });
    for (let i = 0; i < 21; i++) await Promise.all(Array.from({ length: 100 }, () => add()));
    const first = await list('?metadata=rare=yes');
    expect(first.jobs).toEqual([]);
    expect(first.nextCursor).not.toBeNull();
    expect((await readAll('?metadata=rare=yes')).map(({ id }) => id)).toEqual([rare]);
  });

  it('drops jobs that the queue has removed by their age, listed or not', async () => {
    const index = `${api.queue.prefix}:index`;
    await Promise.all(Array.from({ length: 20 }, () => add()));
    for (const job of await api.queue.jobs.getJobs()) await job.remove();
    await Promise.all(Array.from({ length: 40 }, () => add()));
    // Two of the dead are looked for with every new job.
    expect(await api.queue.redis.zcard(index)).toBeLessThan(60);
    expect(await readAll('?limit=100')).toHaveLength(40);
    expect(await api.queue.redis.zcard(index)).toBe(40);
  });

  it.each([
    ['status=ended', 'status', 'ended'],
    ['status=queued&status=ended', 'status', ['queued', 'ended']],
    ['limit=0', 'limit', '0'],
    ['limit=101', 'limit', '101'],
    ['limit=many', 'limit', 'many'],
    ['scenario=', 'scenario', ''],
    ['metadata=team', 'metadata', 'team'],
    ['cursor=abc', 'cursor', 'abc'],
    ['order=oldest', 'order', 'oldest'],
  ])('refuses ?%s, names the parameter and says what was received', async (query, field, received) => {
    const answer = await api.ask({ url: `/jobs?${query}` });
    const errors = [{ field, received }];
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request', errors } });
  });
});

describe('DELETE /jobs/:id', () => {
  const remove = (id: string, query = '') => api.ask({ method: 'DELETE', url: `/jobs/${id}${query}` });

  it('removes a job that has ended, and leaves its files', async () => {
    const folder = join(api.root, 'output', 'a');
    await mkdir(join(folder, 'model'), { recursive: true });
    await writeFile(join(folder, 'model', 'model.json'), '{}');
    const id = await add({}, folderUri(folder));
    await next(startWorker(), 'completed');
    expect((await remove(id)).status).toBe(204);
    expect((await api.ask({ url: `/jobs/${id}` })).status).toBe(404);
    expect((await list()).jobs).toEqual([]);
    expect(existsSync(join(folder, 'model', 'model.json'))).toBe(true);
    expect(await remove(id)).toMatchObject({ status: 404, body: { code: 'job_not_found' } });
  });

  it('removes its folder too where it is asked to, and nothing beside it', async () => {
    const [folder, beside] = [join(api.root, 'output', 'a'), join(api.root, 'output', 'ab')];
    for (const one of [folder, beside]) {
      await mkdir(join(one, 'checkpoints', 'epoch-0001'), { recursive: true });
      await writeFile(join(one, 'checkpoints', 'epoch-0001', 'weights.bin'), '');
    }
    const id = await add({}, folderUri(folder));
    await next(startWorker(), 'completed');
    expect((await remove(id, '?files=true')).status).toBe(204);
    expect([existsSync(folder), existsSync(beside)]).toEqual([false, true]);
    expect((await list()).jobs).toEqual([]);
  });

  it('keeps the job where its files cannot be removed', async () => {
    const id = await add({}, 's3://bucket/models/1/');
    await next(startWorker(), 'completed');
    expect(await remove(id, '?files=true')).toMatchObject({
      status: 503,
      body: { code: 'storage_unavailable', retryable: true },
    });
    expect((await api.ask({ url: `/jobs/${id}` })).status).toBe(200);
  });

  it('refuses a job that has not ended', async () => {
    const id = await add();
    const refused = { status: 409, body: { code: 'job_not_ended' } };
    expect(await remove(id)).toMatchObject(refused);
    const worker = startWorker(() => new Promise(() => undefined));
    await next(worker, 'active');
    expect(await remove(id, '?files=true')).toMatchObject(refused);
  });

  it('removes a job that was canceled before a worker had it', async () => {
    const id = await add();
    await api.ask({ method: 'POST', url: `/jobs/${id}/cancel` });
    expect((await remove(id)).status).toBe(204);
    expect(await api.queue.jobs.getJobCountByTypes()).toBe(0);
  });

  it('refuses a query that it does not know', async () => {
    expect(await remove(newJobId(), '?files=yes')).toMatchObject({ status: 400 });
  });
});
