import { addJob, announceProgress, appendEvent, JOBS_QUEUE, newJobId, settleJob } from '@headstart/queue';
import type { Progress } from '@headstart/contracts';
import { Worker } from 'bullmq';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { folderUri, startApi, type TestApi } from '../support/api.js';
import { poll } from '../support/poll.js';
import { makePayload } from '../support/queue.js';

let api: TestApi;
let url: string;
let id: string;

beforeEach(async () => {
  api = await startApi(inject('redisUrl'));
  url = await api.app.listen({ host: '127.0.0.1', port: 0 });
  id = newJobId();
  const folder = join(api.root, 'output', 'a b');
  await mkdir(join(folder, 'model'), { recursive: true });
  await writeFile(join(folder, 'model', 'model.json'), '{"a":1}');
  await writeFile(join(api.root, 'output', 'secret.txt'), 'secret');
  await addJob(api.queue, id, { ...makePayload(), outputUri: folderUri(folder) }, 500);
});
afterEach(() => api.close());

interface Event {
  id?: string;
  event?: string;
  data: Record<string, unknown>;
}

/** Reads server-sent events until `until`, or the end of the answer. */
async function listen(
  { lastId, until = () => false }: { lastId?: string; until?: (event: Event) => boolean } = {},
  onOpen: () => Promise<void> = async () => undefined,
): Promise<Event[]> {
  const stop = new AbortController();
  const headers = { ...(lastId !== undefined && { 'last-event-id': lastId }) };
  const response = await fetch(`${url}/jobs/${id}/events`, { headers, signal: stop.signal });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  await onOpen();
  const events: Event[] = [];
  let text = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    const blocks = (text + chunk).split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const fields = Object.fromEntries(
        block
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)]),
      );
      if (fields['data'] === undefined) continue;
      const event = { ...fields, data: JSON.parse(fields['data']) as Event['data'] } as Event;
      events.push(event);
      if (until(event)) {
        stop.abort();
        return events;
      }
    }
  }
  return events;
}

const log = (message: string) => ({ type: 'log', level: 'info', message, fields: { n: 1 } }) as const;
const messages = (events: Event[]) => events.map(({ data }) => data['message']).filter(Boolean);

async function runToEnd(): Promise<void> {
  const { redis: connection, prefix } = api.queue;
  const worker = new Worker(JOBS_QUEUE, async () => undefined, { connection, prefix });
  const record = await new Promise<Parameters<typeof settleJob>[1]>((resolve) =>
    worker.once('completed', (job) => resolve(job as Parameters<typeof settleJob>[1])),
  );
  await settleJob(api.queue, record, true);
  await worker.close();
}

describe('GET /jobs/:id/events', () => {
  it('tells the whole way to whoever comes late, and ends with the job', async () => {
    await appendEvent(api.queue, id, { type: 'phase', phase: 'training' });
    await appendEvent(api.queue, id, log('one'));
    await runToEnd();
    const events = await listen();
    expect(events.map(({ event }) => event)).toEqual(['status', 'phase', 'log', 'status']);
    expect(events[0]?.data).toMatchObject({ type: 'status', status: 'queued' });
    expect(events.at(-1)).toMatchObject({ id: 'end', data: { status: 'succeeded', error: null } });
    const after = await fetch(`${url}/jobs/${id}/events`, { headers: { 'last-event-id': 'end' } });
    expect(after.status).toBe(204);
  });

  it('passes on what happens, progress included, to many listeners', async () => {
    const progress = { phase: 'training', done: 1, total: 2, unit: 'steps' } as unknown as Progress;
    const until = ({ data }: Event) => data['message'] === 'last';
    let open = 0;
    const listeners = Array.from({ length: 20 }, () =>
      listen({ until }, async () => {
        if (++open < 20) return;
        await announceProgress(api.queue, id, progress);
        await appendEvent(api.queue, id, log('first'));
        await appendEvent(api.queue, id, log('last'));
      }),
    );
    for (const events of await Promise.all(listeners)) expect(messages(events)).toEqual(['first', 'last']);
  });

  it('goes on behind the last event that was received, without a gap or a repetition', async () => {
    for (let n = 0; n < 700; n++) await appendEvent(api.queue, id, log(`line ${n}`));
    const first = await listen({ until: ({ data }) => data['message'] === 'line 300' });
    const lastId = first.at(-1)?.id ?? '';
    const rest = await listen({ lastId, until: ({ data }) => data['message'] === 'line 699' });
    expect(messages([...first, ...rest])).toEqual(Array.from({ length: 700 }, (_, n) => `line ${n}`));
  });

  it('has each event once, whoever else comes while they are read', async () => {
    const all = Array.from({ length: 300 }, (_, n) => `line ${n}`);
    const until = ({ data }: Event) => data['message'] === all.at(-1);
    const listeners: Promise<Event[]>[] = [];
    for (const [n, line] of all.entries()) {
      if (n % 10 === 0) listeners.push(listen({ until }));
      await appendEvent(api.queue, id, log(line));
    }
    for (const events of await Promise.all(listeners)) expect(messages(events)).toEqual(all);
  });

  it('refuses an id that is none of an event, and a job that is not there', async () => {
    const headers = { 'last-event-id': 'yesterday' };
    expect((await api.ask({ url: `/jobs/${id}/events`, headers })).status).toBe(400);
    expect((await api.ask({ url: `/jobs/${newJobId()}/events` })).status).toBe(404);
  });

  it('is followed no longer when its client is gone', async () => {
    const { redis, prefix } = api.queue;
    const listeners = (count: number, timeoutMs: number) =>
      poll(
        `the channel to have ${count} listeners`,
        async () => ((await redis.pubsub('NUMSUB', `${prefix}:events:${id}`))[1] === count ? true : null),
        timeoutMs,
      );
    const leave = new AbortController();
    const response = await fetch(`${url}/jobs/${id}/events`, { signal: leave.signal });
    await listeners(1, 10_000);
    leave.abort();
    await expect(response.text()).rejects.toThrow();
    // Sooner than a feed is looked at without news.
    await listeners(0, 3000);
  });

  it('lets the service close', async () => {
    const startMs = performance.now();
    let closed: Promise<void> | undefined;
    await listen({}, async () => void (closed = api.app.close()));
    await closed;
    expect(performance.now() - startMs).toBeLessThan(10_000);
  });
});

describe('GET /jobs/:id/logs', () => {
  it('has every line, as JSON or to read', async () => {
    for (let n = 0; n < 600; n++) await appendEvent(api.queue, id, log(`line ${n}`));
    const read = async (query: string) => (await fetch(`${url}/jobs/${id}/logs${query}`)).text();
    const lines = (await read('')).trimEnd().split('\n');
    expect(lines).toHaveLength(600);
    expect(JSON.parse(lines[599] ?? '')).toMatchObject({
      level: 'info',
      message: 'line 599',
      fields: { n: 1 },
    });
    expect((await read('?format=text')).split('\n')[0]).toMatch(/^\d{4}-\S+Z info line 0 n=1$/);
  });
});

describe('GET /jobs/:id/artifacts', () => {
  it('lists the files, and streams them, whole or in part', async () => {
    const { body } = await api.ask({ url: `/jobs/${id}/artifacts` });
    expect(body).toEqual({
      artifacts: [
        {
          path: 'model/model.json',
          sizeBytes: 7,
          contentType: 'application/json',
          url: `/jobs/${id}/artifacts/model/model.json`,
          expiresAt: null,
        },
      ],
    });
    const get = (range?: string) =>
      fetch(`${url}/jobs/${id}/artifacts/model/model.json`, { headers: range ? { range } : {} });
    const whole = await get();
    expect([whole.status, await whole.text()]).toEqual([200, '{"a":1}']);
    expect(whole.headers.get('content-disposition')).toBe("attachment; filename*=UTF-8''model.json");
    for (const [range, text, header] of [
      ['bytes=1-3', '"a"', 'bytes 1-3/7'],
      ['bytes=5-', '1}', 'bytes 5-6/7'],
      ['bytes=-2', '1}', 'bytes 5-6/7'],
    ] as const) {
      const part = await get(range);
      expect([part.status, await part.text(), part.headers.get('content-range')]).toEqual([
        206,
        text,
        header,
      ]);
    }
    const headers = { range: 'bytes=1-3', 'if-range': '"of another version"' };
    const changed = await fetch(`${url}/jobs/${id}/artifacts/model/model.json`, { headers });
    expect([changed.status, await changed.text()]).toEqual([200, '{"a":1}']);
    const beyond = await get('bytes=7-');
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, 'bytes */7']);
  });

  it.each(['..%2fsecret.txt', 'model/..%2f..%2fsecret.txt', 'nothing.json', 'model', '%2fetc/passwd'])(
    'has no %s',
    async (path) => {
      const answer = await api.app.inject({ url: `/jobs/${id}/artifacts/${path}` });
      expect([403, 404]).toContain(answer.statusCode);
      expect(answer.body).not.toContain('secret"');
    },
  );

  it('answers HEAD as for the whole file, whatever range it names', async () => {
    const artifact = `${url}/jobs/${id}/artifacts/model/model.json`;
    for (const range of ['bytes=1-3', 'bytes=7-']) {
      const answer = await fetch(artifact, { method: 'HEAD', headers: { range } });
      expect([answer.status, answer.headers.get('content-length')]).toEqual([200, '7']);
      expect(answer.headers.get('content-range')).toBeNull();
    }
  });

  it('sends a file that is replaced meanwhile as it was before, or as it is then', async () => {
    const file = join(api.root, 'output', 'a b', 'model', 'model.json');
    const versions = ['{"a":1}', JSON.stringify('b'.repeat(1000))];
    let isDone = false;
    const replacing = (async () => {
      for (let n = 0; !isDone; n++) {
        await writeFile(`${file}.new`, versions[n % 2] ?? '');
        await rename(`${file}.new`, file);
      }
    })();
    try {
      for (let n = 0; n < 300; n++) {
        const answer = await fetch(`${url}/jobs/${id}/artifacts/model/model.json`);
        expect(versions).toContain(await answer.text());
      }
    } finally {
      isDone = true;
      await replacing;
    }
  });
});
