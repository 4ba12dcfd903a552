/**
 * npm run bench:api -- [--rounds N] [--seconds N] [--connections N] [--jobs N] [--profile FOLDER]
 *
 * Loads the API of this machine over HTTP, with Redis and the load generator beside it: jobs read and posted per second, what
 * each of Redis's fsync policies costs a post, and how soon an idle worker has a job.
 */
import { mkdtemp, open, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { HeadstartClient } from '@headstart/client';
import type { JobRequestInput } from '@headstart/contracts';
import autocannon from 'autocannon';
import { type Service, startService } from './services.js';

const WARM_UP_SECONDS = 3;
const FSYNCS = 200;
const FSYNC_POLICIES = ['always', 'everysec', 'no'] as const;
/** Long enough for a worker to have its next trainer ready. */
const IDLE_MS = 3000;

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '6' },
    rounds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '20' },
    jobs: { type: 'string', default: '20' },
    profile: { type: 'string' },
  },
});
const connections = Number(options.connections);

async function load(request: autocannon.Options, duration: number): Promise<autocannon.Result> {
  const result = await autocannon({ connections, ...request, duration });
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${result.non2xx} answers were no 2xx, and ${result.errors} requests had none.`);
  return result;
}

interface Case {
  name: string;
  /** Brings Redis to the state that the case wants. @returns what is sent. */
  prepare(): Promise<autocannon.Options>;
}

/** Runs the cases in turns, so that what else the machine does meets all of them. */
async function race(cases: readonly Case[]): Promise<void> {
  const results = new Map(cases.map(({ name }) => [name, [] as autocannon.Result[]]));
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const { name, prepare } of cases) {
      const request = await prepare();
      await load(request, WARM_UP_SECONDS);
      results.get(name)!.push(await load(request, Number(options.seconds)));
    }
  }
  console.log('| request | per second (least to most) | p50 | p99 |\n| --- | ---: | ---: | ---: |');
  for (const [name, runs] of results) {
    runs.sort((a, b) => a.requests.average - b.requests.average);
    const rates = runs.map(({ requests }) => Math.round(requests.average));
    const { latency } = runs[runs.length >> 1]!;
    console.log(
      `| ${name} | ${rates[rates.length >> 1]} (${rates[0]} to ${rates.at(-1)}) | ${latency.p50} ms | ${latency.p99} ms |`,
    );
  }
}

/** From the moment a job is posted to the moment that a worker with nothing to do has started it. */
async function measurePickUp({ url, job, startWorker, reset }: Service): Promise<void> {
  await reset('everysec');
  await startWorker();
  const client = new HeadstartClient(url);
  const times: number[] = [];
  while (times.length < Number(options.jobs)) {
    await delay(IDLE_MS);
    const postedAtMs = Date.now();
    const { id } = await client.createJob(job as JobRequestInput);
    const { status, startedAt } = await client.waitForJob(id, { intervalMs: 500 });
    if (status !== 'succeeded' || startedAt === null) throw new Error(`Job ${id} ${status}.`);
    times.push(Date.parse(startedAt) - postedAtMs);
  }
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor((times.length - 1) * share)];
  console.log(
    `\nAn idle worker starts a job ${at(0.5)} ms after it was posted (median of ${times.length}; at most ${at(1)} ms).`,
  );
}

/** Median time, in ms, to bring another 4 kB of a file to the disk that Redis writes to. */
async function measureFsync(): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'headstart-fsync-'));
  const file = await open(join(folder, 'appended'), 'a');
  const times: number[] = [];
  for (let i = 0; i < FSYNCS; i++) {
    const startMs = performance.now();
    await file.write(Buffer.alloc(4096, i));
    await file.sync();
    times.push(performance.now() - startMs);
  }
  await file.close();
  await rm(folder, { recursive: true });
  return times.sort((a, b) => a - b)[FSYNCS / 2]!;
}

const service = await startService(options.profile === undefined ? null : resolve(options.profile));
try {
  const fsyncMs = (await measureFsync()).toFixed(1);
  console.log(
    `${cpus()[0]?.model}, ${availableParallelism()} threads, ${fsyncMs} ms for an fsync; ${connections} connections\n`,
  );
  const posts = FSYNC_POLICIES.map((policy): Case => ({
    name: `\`POST /jobs\`, appendfsync ${policy}`,
    async prepare() {
      await service.reset(policy);
      const headers = { 'content-type': 'application/json' };
      return { url: `${service.url}/jobs`, method: 'POST', headers, body: JSON.stringify(service.job) };
    },
  }));
  const get: Case = {
    name: '`GET /jobs/:id`',
    async prepare() {
      await service.reset('everysec');
      const { id } = await new HeadstartClient(service.url).createJob(service.job as JobRequestInput);
      return { url: `${service.url}/jobs/${id}` };
    },
  };
  await race([get, ...posts]);
  await measurePickUp(service);
} finally {
  await service.stop();
}
