import { AppError, DEFAULT_TENANT, Job } from '@headstart/contracts';
import { addJob, claimFor, getRecord, JOBS_QUEUE, newJobId, toQueueError } from '@headstart/queue';
import { Worker } from 'bullmq';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { type Answer, makeFolders, startApi, type TestApi } from '../support/api.js';
import { makePayload } from '../support/queue.js';

let api: TestApi;
let datasetUri: string;

beforeEach(async () => {
  api = await startApi(inject('redisUrl'));
  datasetUri = await makeFolders(join(api.root, 'flowers'), ['tulip', 'daisy']);
});
afterEach(() => api.close());

const small = () => ({ datasetUri, scenario: 'small-similar' });
const idOf = ({ body }: Answer) => String(body['id']);

function post(key: string, body: object = small(), url = '/jobs'): Promise<Answer> {
  return api.ask({ method: 'POST', url, headers: { 'idempotency-key': key }, payload: body });
}

async function countJobs(): Promise<number> {
  return api.queue.jobs.getJobCountByTypes();
}

/** Lets a worker end every job that waits. */
async function runAll(end: () => void = () => undefined): Promise<void> {
  const { redis: connection, prefix } = api.queue;
  const worker = new Worker(JOBS_QUEUE, async () => end(), { connection, prefix });
  await new Promise<void>((resolve) => worker.once('drained', resolve));
  await worker.close();
}

describe('an Idempotency-Key', () => {
  it('makes one job of 100 posts at once', async () => {
    const answers = await Promise.all(Array.from({ length: 100 }, () => post('key-1')));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
    expect(new Set(answers.map(idOf)).size).toBe(1);
    expect(await countJobs()).toBe(1);
    expect((await api.ask({ url: '/jobs' })).body['jobs']).toHaveLength(1);
  });

  it('answers with its job whatever the order of the fields, and as that is by then', async () => {
    const first = await post('key-1', { ...small(), metadata: { a: '1', b: '2' } });
    const again = await post('key-1', {
      metadata: { b: '2', a: '1' },
      scenario: 'small-similar',
      datasetUri,
    });
    expect(again.body).toEqual(first.body);
    expect(again.headers.location).toBe(first.headers.location);
    await runAll();
    expect(await post('key-1', { ...small(), metadata: { a: '1', b: '2' } })).toMatchObject({
      status: 202,
      body: { id: idOf(first), status: 'succeeded' },
    });
  });

  it('is refused with another body, one behind the other or at once', async () => {
    const conflict = { status: 409, body: { code: 'idempotency_conflict' } };
    await post('key-1');
    expect(await post('key-1', { ...small(), priority: 1 })).toMatchObject(conflict);

    const bodies = Array.from({ length: 20 }, (_, index) => ({ ...small(), priority: 1 + (index % 2) }));
    const answers = await Promise.all(bodies.map((body) => post('key-2', body)));
    const made = answers.filter(({ status }) => status === 202);
    expect(made).toHaveLength(10);
    expect(new Set(made.map(idOf)).size).toBe(1);
    for (const answer of answers.filter(({ status }) => status !== 202))
      expect(answer).toMatchObject(conflict);
    expect(await countJobs()).toBe(2);
  });

  it('makes a job of its own for each key, and for posts without one', async () => {
    const answers = [await post('a'), await post('b'), await api.post(small()), await api.post(small())];
    expect(new Set(answers.map(idOf)).size).toBe(4);
  });

  it('is remembered when its job is gone, for longer than a job is kept', async () => {
    const first = await post('key-1');
    await api.ask({ method: 'POST', url: `/jobs/${idOf(first)}/cancel` });
    expect((await api.ask({ method: 'DELETE', url: `/jobs/${idOf(first)}` })).status).toBe(204);
    expect(await post('key-1')).toMatchObject({ status: 410, body: { code: 'job_gone' } });
    expect(await countJobs()).toBe(0);
    const { keyDigest } = claimFor(DEFAULT_TENANT, 'key-1', {});
    const days = (await api.queue.redis.ttl(`${api.queue.prefix}:idempotency:${keyDigest}`)) / 86_400;
    expect(days).toBeGreaterThan(30.9);
  });

  it('does not hold up a post when the one before broke off, nor double a job without its record', async () => {
    // As a post leaves it that was refused while it was prepared: nothing.
    expect((await post('key-1', { ...small(), datasetUri: `${datasetUri}nothing/` })).status).toBe(422);
    expect((await post('key-1')).status).toBe(202);

    const { keyDigest } = claimFor(DEFAULT_TENANT, 'key-1', {});
    await api.queue.redis.del(`${api.queue.prefix}:idempotency:${keyDigest}`);
    expect((await post('key-1')).status).toBe(202);
    expect(await countJobs()).toBe(1);
  });

  it.each(['', 'a b', 'é', 'a'.repeat(256)])('must be 1 to 255 visible characters, not "%s"', async (key) => {
    expect(await post(key)).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', errors: [{ field: 'idempotency-key' }] },
    });
  });
});

describe('POST /jobs/:id/retry', () => {
  async function addFailed(): Promise<string> {
    const id = newJobId();
    await addJob(api.queue, id, makePayload({ datasetUri: small().datasetUri, metadata: { a: '1' } }), 1);
    await runAll(() => {
      throw toQueueError(new AppError('disk_full', 'It went wrong.'));
    });
    return id;
  }

  const retry = (id: string) => api.ask({ method: 'POST', url: `/jobs/${id}/retry` });

  it('posts a job that failed again, as a new one', async () => {
    const id = await addFailed();
    const before = (await api.ask({ url: `/jobs/${id}` })).body;
    const answer = await retry(id);
    expect(answer.status).toBe(202);
    const job = Job.parse(answer.body);
    expect(answer.headers.location).toBe(`/jobs/${job.id}`);
    expect(job).toMatchObject({ status: 'queued', retryOf: id, request: before['request'], error: null });
    expect(job.id).not.toBe(id);
    const { data } = await getRecord(api.queue.jobs, job.id);
    expect(data).toMatchObject({
      outputUri: `${api.config.outputUri}${job.id}/`,
      requestId: answer.headers['x-request-id'],
      metrics: [],
    });
    expect((await api.ask({ url: `/jobs/${id}` })).body).toEqual(before);
  });

  it('posts a canceled job again, once for each key', async () => {
    const id = idOf(await api.post(small()));
    await api.ask({ method: 'POST', url: `/jobs/${id}/cancel` });
    const answers = await Promise.all(
      Array.from({ length: 10 }, () =>
        api.ask({ method: 'POST', url: `/jobs/${id}/retry`, headers: { 'idempotency-key': 'again' } }),
      ),
    );
    expect(new Set(answers.map(idOf)).size).toBe(1);
    expect(answers[0]).toMatchObject({ status: 202, body: { retryOf: id } });
    expect(await post('again')).toMatchObject({ status: 409, body: { code: 'idempotency_conflict' } });
  });

  it('refuses a job that succeeded, has not ended, or is not there', async () => {
    const id = idOf(await api.post(small()));
    expect(await retry(id)).toMatchObject({ status: 409, body: { code: 'job_not_ended' } });
    await runAll();
    expect(await retry(id)).toMatchObject({ status: 409, body: { code: 'job_ended' } });
    expect(await retry(newJobId())).toMatchObject({ status: 404, body: { code: 'job_not_found' } });
  });

  it('refuses what the deployment does not allow any more', async () => {
    const id = newJobId();
    await addJob(api.queue, id, makePayload({ datasetUri: 'file:///etc/' }), 1);
    await runAll(() => {
      throw toQueueError(new AppError('disk_full', 'It went wrong.'));
    });
    expect(await retry(id)).toMatchObject({ status: 403, body: { code: 'uri_forbidden' } });
  });
});

describe('POST /jobs/:id/finish', () => {
  const finish = (id: string) => api.ask({ method: 'POST', url: `/jobs/${id}/finish` });

  it('marks a job that runs, once, and tells its worker', async () => {
    const id = idOf(await api.post(small()));
    expect(await finish(id)).toMatchObject({ status: 409, body: { code: 'job_not_running' } });
    const commands: unknown[] = [];
    await api.queue.channel.subscribe((command) => commands.push(command));
    const { redis: connection, prefix } = api.queue;
    let end = () => {};
    const worker = new Worker(JOBS_QUEUE, () => new Promise<void>((resolve) => (end = resolve)), {
      connection,
      prefix,
    });
    await new Promise<void>((resolve) => worker.once('active', () => resolve()));
    const first = await finish(id);
    expect(first).toMatchObject({ status: 200, body: { status: 'running' } });
    expect(first.body['finishRequestedAt']).not.toBeNull();
    expect((await finish(id)).body).toEqual(first.body);
    const completed = new Promise<void>((resolve) => worker.once('completed', () => resolve()));
    end();
    await completed;
    await worker.close();
    expect(await finish(id)).toMatchObject({ status: 409, body: { code: 'job_ended' } });
    expect(commands[0]).toEqual({ type: 'finish', jobId: id });
  });
});
