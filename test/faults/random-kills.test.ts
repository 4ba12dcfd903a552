import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Job } from '@headstart/contracts';
import { expect, inject, it, onTestFinished } from 'vitest';
import { freePort } from '../../scripts/src/processes.js';
import { hasEnded, smallJob, startDeployment } from '../support/deployment.js';
import { expectEndedOnce } from '../support/endings.js';
import { createPersistentClient } from '../support/persistent-client.js';
import { poll } from '../support/poll.js';
import { answerWith, startReceiver } from '../support/receiver.js';
import type { ApiService, Service } from '../support/services.js';

/** `FAULT_JOBS=200 npm run test:faults -- random-kills` is the whole of it. */
const JOBS = Number(process.env['FAULT_JOBS'] ?? 20);
/** So many are queued or running at a time. */
const UNDER_WAY = 8;
const LONGEST_PAUSE_MS = 4000;
const MAX_MS = 120_000 + JOBS * 10_000;
/** Of what a process holds when all is done, beyond what it held after the first tenth of the jobs. */
const MAX_MORE_HANDLES = 5;
const MAX_MORE_MIB = 48;

interface Held {
  handles: number;
  mib: number;
}

/** See proc_pid_fd(5) and proc_pid_status(5). */
function heldBy({ pid }: Service): Held {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return { handles: readdirSync(`/proc/${pid}/fd`).length, mib: Math.round(Number(kib) / 1024) };
}

/** The process that trains right now, if one does. */
function trainerOf({ logs }: Service): number | null {
  const last = logs.findLast(({ msg }) => msg === 'attempt started' || msg === 'attempt ended');
  return last?.msg === 'attempt started' ? Number(last['trainerPid']) : null;
}

it.skipIf(process.platform !== 'linux')(
  `${JOBS} jobs end, each once, whichever processes are killed meanwhile, and those that are not hold no more than before`,
  async () => {
    const redisUrl = inject('redisUrl');
    const receiver = await startReceiver(answerWith(204));
    onTestFinished(() => receiver.close());
    const deployment = await startDeployment(redisUrl);
    onTestFinished(() => deployment.end());
    const victimPort = await freePort();
    const startVictimApi = () => deployment.startApi({ API_PORT: String(victimPort) });
    /** Killed again and again; of the others only the trainers are. */
    const victims: { api: ApiService; worker: Service } = {
      api: await startVictimApi(),
      worker: await deployment.startWorker(),
    };
    const survivors = { api: deployment.api, worker: await deployment.startWorker() };
    const client = createPersistentClient([survivors.api.url, victims.api.url]);
    const kills = { trainer: 0, supervisor: 0, api: 0 };

    const kill = {
      trainer() {
        const pid = trainerOf(Math.random() < 0.5 ? victims.worker : survivors.worker);
        if (pid === null) return;
        try {
          process.kill(pid, 'SIGKILL');
          kills.trainer++;
        } catch {
          // It has just ended by itself.
        }
      },
      async supervisor() {
        victims.worker.signal('SIGKILL');
        await victims.worker.ended;
        kills.supervisor++;
        victims.worker = await deployment.startWorker();
      },
      async api() {
        victims.api.signal('SIGKILL');
        await victims.api.ended;
        kills.api++;
        victims.api = await startVictimApi();
      },
    };
    const posted: string[] = [];
    let isOver = false;
    const killAll = async () => {
      const kinds = Object.values(kill);
      while (!isOver) {
        await delay(Math.random() * LONGEST_PAUSE_MS);
        await kinds[Math.floor(Math.random() * kinds.length)]!();
      }
    };
    const told = () => new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size;
    const measure = () => ({ api: heldBy(survivors.api), worker: heldBy(survivors.worker) });
    const toldOf = (count: number) =>
      poll(
        `${count} webhooks`,
        async () => {
          await client.get(posted.at(-1)!);
          return told() >= count ? true : null;
        },
        MAX_MS,
      );
    const run = async () => {
      let early: ReturnType<typeof measure> | null = null;
      while (posted.length < JOBS) {
        posted.push((await client.post(smallJob(deployment, { webhook: { url: receiver.url } }))).id);
        await toldOf(posted.length - UNDER_WAY);
        if (told() >= JOBS / 10) early ??= measure();
      }
      await toldOf(JOBS);
      isOver = true;
      return early ?? measure();
    };
    const startMs = performance.now();
    const [early] = await Promise.all([run(), killAll()]);
    const late = measure();

    const jobs: Job[] = [];
    for (const id of posted)
      jobs.push(
        await poll(`job ${id}`, async () => client.get(id).then((job) => (hasEnded(job) ? job : null))),
      );
    const counts = (values: (string | number)[]) =>
      JSON.stringify(
        Object.fromEntries(
          [...new Set(values)].sort().map((one) => [one, values.filter((v) => v === one).length]),
        ),
      );
    console.log(
      [
        `${JOBS} jobs in ${Math.round((performance.now() - startMs) / 1000)} s: ${counts(jobs.map(({ status }) => status))}`,
        `killed: ${JSON.stringify(kills)}; attempts: ${counts(jobs.map(({ attempts }) => attempts))}`,
        `requests that were tried again: ${JSON.stringify(Object.fromEntries(client.retries))}`,
        `held after a tenth: ${JSON.stringify(early)}; at the end: ${JSON.stringify(late)}`,
      ].join('\n'),
    );
    for (const { status, error } of jobs)
      if (status !== 'succeeded') expect(error).toMatchObject({ code: 'trainer_crashed' });
    await expectEndedOnce(jobs, { redisUrl, prefix: deployment.queuePrefix, receiver });
    for (const name of ['api', 'worker'] as const) {
      expect(late[name].handles).toBeLessThanOrEqual(early[name].handles + MAX_MORE_HANDLES);
      expect(late[name].mib).toBeLessThanOrEqual(early[name].mib + MAX_MORE_MIB);
    }
  },
  MAX_MS + 60_000,
);
