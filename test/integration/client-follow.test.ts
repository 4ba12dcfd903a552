import { type FollowedEvent, HeadstartClient } from '@headstart/client';
import {
  appendEvent,
  announceProgress,
  addJob,
  JOBS_QUEUE,
  type JobRecord,
  newJobId,
  settleJob,
} from '@headstart/queue';
import { Worker } from 'bullmq';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, inject, it, onTestFinished } from 'vitest';
import { startApi, type TestApi } from '../support/api.js';
import { makePayload } from '../support/queue.js';
import { startTcpProxy } from '../support/tcp-proxy.js';

let api: TestApi;
let url: string;
let id: string;

beforeEach(async () => {
  api = await startApi(inject('redisUrl'));
  url = await api.app.listen({ host: '127.0.0.1', port: 0 });
  id = newJobId();
  await addJob(api.queue, id, makePayload(), 500);
});
afterEach(() => api.close());

const log = (n: number) => ({ type: 'log', level: 'info', message: `line ${n}`, fields: { n } }) as const;
const append = (n: number) => appendEvent(api.queue, id, log(n));
const messagesOf = (events: FollowedEvent[]) =>
  events.flatMap((event) => (event.type === 'log' ? [event.message] : []));

/** Has a worker end the job, as one that succeeded. */
async function endJob(): Promise<void> {
  const { redis: connection, prefix } = api.queue;
  const worker = new Worker(JOBS_QUEUE, async () => undefined, { connection, prefix });
  const [record] = (await once(worker, 'completed')) as [JobRecord];
  await settleJob(api.queue, record, true);
  await worker.close();
}

describe('the client, following a job', () => {
  it('hears all of it once, over connections that break, and ends with the job', async () => {
    const { hostname, port } = new URL(url);
    const proxy = await startTcpProxy({ host: hostname, port: Number(port) });
    onTestFinished(() => proxy.cut());
    const events: FollowedEvent[] = [];
    await append(1);
    for await (const event of new HeadstartClient(`http://127.0.0.1:${proxy.port}`).followJob(id)) {
      events.push(event);
      if (event.type !== 'log') continue;
      const { n } = event.fields as { n: number };
      if (n === 3) {
        await endJob();
        continue;
      }
      await proxy.cut();
      await append(n + 1);
      await proxy.restore();
    }
    expect(messagesOf(events)).toEqual(['line 1', 'line 2', 'line 3']);
    expect(events[0]).toMatchObject({ type: 'status', status: 'queued', at: expect.any(String) as string });
    expect(events.at(-1)).toMatchObject({ type: 'status', status: 'succeeded', id: 'end' });
  });

  it('goes on where it is told to, and hears of progress', async () => {
    await append(1);
    await append(2);
    const client = new HeadstartClient(url);
    const first: FollowedEvent[] = [];
    for await (const event of client.followJob(id)) {
      first.push(event);
      if (event.type === 'log') break;
    }
    const progress = { phase: 'training', done: 1, total: 2, unit: 'steps' } as never;
    const rest: FollowedEvent[] = [];
    for await (const event of client.followJob(id, { lastEventId: first.at(-1)?.id ?? '' })) {
      rest.push(event);
      if (event.type === 'log') await announceProgress(api.queue, id, progress);
      if (event.type === 'progress') await endJob();
    }
    expect(messagesOf([...first, ...rest])).toEqual(['line 1', 'line 2']);
    expect(rest.find(({ type }) => type === 'progress')).toMatchObject({ id: null, progress: { done: 1 } });
    for await (const event of client.followJob(id, { lastEventId: 'end' })) expect.unreachable(event.type);
  });

  it('leaves a connection that says nothing for another', async () => {
    const { hostname, port } = new URL(url);
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      if (sockets.push(socket.on('error', () => undefined)) === 1) return socket.resume();
      const upstream = connect(Number(port), hostname).on('error', () => undefined);
      return socket.pipe(upstream).pipe(socket);
    }).listen(0, '127.0.0.1');
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    const address = server.address() as AddressInfo;
    const events = new HeadstartClient(`http://127.0.0.1:${address.port}`).followJob(id);
    expect((await events.next()).value).toMatchObject({ type: 'status', status: 'queued' });
    expect(sockets).toHaveLength(2);
    await events.return(undefined);
  }, 60_000);

  it('stops when it is told to, and at once for a job that is not there', async () => {
    const client = new HeadstartClient(url);
    const stop = new AbortController();
    let stoppedAtMs = Infinity;
    const following = async () => {
      for await (const { type } of client.followJob(id, { signal: stop.signal })) {
        if (type !== 'status') continue;
        stoppedAtMs = performance.now();
        stop.abort(new Error('enough'));
      }
    };
    await expect(following()).rejects.toThrow('enough');
    expect(performance.now() - stoppedAtMs).toBeLessThan(1000);
    await expect(client.followJob(newJobId()).next()).rejects.toMatchObject({ code: 'job_not_found' });
  });
});

describe('the client, reading a log', () => {
  it('has every line', async () => {
    for (let n = 0; n < 600; n++) await append(n);
    const client = new HeadstartClient(url);
    const lines: string[] = [];
    for await (const { level, message, fields } of client.readLogs(id)) {
      expect([level, fields]).toEqual(['info', { n: lines.length }]);
      lines.push(message);
    }
    expect(lines).toEqual(Array.from({ length: 600 }, (_, n) => `line ${n}`));
    await expect(client.readLogs(newJobId()).next()).rejects.toMatchObject({ code: 'job_not_found' });
  });
});
