import { addJob, claimFor, newJobId } from '@headstart/queue';
import { afterEach, beforeEach, expect, inject, it } from 'vitest';
import { startApi, type TestApi } from '../support/api.js';
import { makePayload } from '../support/queue.js';

let api: TestApi;
beforeEach(async () => {
  api = await startApi(inject('redisUrl'));
});
afterEach(() => api.close());

it("another tenant's job is not there", async () => {
  const id = newJobId();
  const { record } = await addJob(api.queue, id, { ...makePayload(), tenant: 'birds' }, 500);
  const missing = newJobId();
  for (const [method, path] of [
    ['GET', ''],
    ['DELETE', ''],
    ['POST', '/cancel'],
    ['POST', '/finish'],
    ['POST', '/retry'],
    ['GET', '/events'],
    ['GET', '/logs'],
    ['GET', '/artifacts'],
    ['GET', '/artifacts/job.json'],
  ] as const) {
    const { body, status } = await api.ask({ method, url: `/jobs/${id}${path}` });
    const other = await api.ask({ method, url: `/jobs/${missing}${path}` });
    expect([status, body['code']]).toEqual([404, 'job_not_found']);
    // Nothing in the answer tells that it exists.
    expect({ ...body, requestId: '' }).toEqual(
      JSON.parse(JSON.stringify({ ...other.body, requestId: '' }).replaceAll(missing, id)),
    );
  }
  expect((await api.ask({ url: '/jobs' })).body).toEqual({ jobs: [], nextCursor: null });
  expect(await record.getState()).toBe('prioritized');
  expect(record.data.canceledAt).toBeNull();
});

it('makes nothing of an Idempotency-Key for another tenant', () => {
  const claims = ['default', 'birds', 'fish'].map((tenant) => claimFor(tenant, 'key-1', {}));
  expect(new Set(claims.map(({ jobId }) => jobId)).size).toBe(3);
  expect(new Set(claims.map(({ keyDigest }) => keyDigest)).size).toBe(3);
});
