import { randomInt } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Job, type JobRequestInput, Manifest } from '@headstart/contracts';
import { hashFile } from '@headstart/storage';
import { generatorFor } from '../../packages/training/src/random.js';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { type Deployment, hasEnded, startDeployment } from '../support/deployment.js';
import { gone } from '../support/processes.js';
import type { LogLine, Service } from '../support/services.js';

let deployment: Deployment;
beforeEach(async () => {
  deployment = await startDeployment(inject('redisUrl'));
});
afterEach(() => deployment.end());

/** The same bits need the same engine with as many threads, whoever else works on the machine. */
const SAME_BITS = { ENGINE_THREADS: '1' };
/** Kills of each scenario; the whole table is made with KILLS=5. */
const KILLS = Number(process.env['KILLS'] ?? 1);
const SEED = Number(process.env['KILL_SEED'] ?? randomInt(2 ** 31));

type Case = Pick<JobRequestInput, 'scenario' | 'freezeLayers' | 'model' | 'training'>;

/** Long enough to be killed in the middle of, each with a checkpoint a second. */
const CASES: Case[] = [
  { scenario: 'small-similar', model: { featureLayer: 'block5_pool' }, training: { epochs: 60 } },
  {
    scenario: 'large-similar',
    freezeLayers: 'block5_conv2',
    model: { featureLayer: 'block5_pool' },
    training: { epochs: 4, headEpochs: 2, batchSize: 4 },
  },
  {
    scenario: 'small-different',
    training: { epochs: 30, augmentation: { flip: true }, earlyStopping: { patience: 30 } },
  },
  {
    scenario: 'large-different',
    model: { featureLayer: 'block5_pool' },
    training: { epochs: 3, batchSize: 4 },
  },
];

const attemptStarted = ({ msg }: LogLine) => msg === 'attempt started';

async function kill(worker: Service): Promise<void> {
  const trainers = worker.logs.filter(attemptStarted).map(({ trainerPid }) => Number(trainerPid));
  worker.signalAll('SIGKILL');
  await worker.ended;
  await Promise.all(trainers.map((pid) => gone(pid)));
}

async function manifestOf(job: Job): Promise<Manifest> {
  expect(job).toMatchObject({ status: 'succeeded', error: null, checkpointError: null });
  return Manifest.parse(JSON.parse(await readFile(fileURLToPath(job.artifacts!.files['manifest']!), 'utf8')));
}

/** The digests of what two runs that are the same bit for bit have in common. */
function digestsOf({ stateDigest, files }: Manifest): unknown {
  // model.h5 has the time of its making in it.
  const model = files.filter(({ path }) => /^model\/.*\.bin$|^predictions\.jsonl$/.test(path));
  return { stateDigest, model };
}

/** Posts a case, with a checkpoint a second. */
function post({ scenario, ...request }: Case): Promise<Job> {
  const training = { checkpointEverySeconds: 1, ...request.training };
  return deployment.post({ scenario, ...request, training });
}

/** Whether a job has come that far: its first tenth stands for what is before the training, its last for what is behind. */
function isPast({ status, phase, progress }: Job, share: number): boolean {
  if (status !== 'running') return false;
  if (share < 0.1) return true;
  if (phase === 'export' || phase === 'upload') return true;
  if (phase !== 'training' || progress === null) return false;
  return progress.done / progress.total! >= (share - 0.1) / 0.8;
}

describe('a job whose worker is killed', () => {
  it.each(CASES)(
    'ends in the very same state, in $scenario',
    async (request) => {
      const random = generatorFor(SEED, request.scenario);
      let worker = await deployment.startWorker(SAME_BITS);
      const expected = digestsOf(
        await manifestOf(await deployment.waitFor((await post(request)).id, hasEnded)),
      );
      for (let kills = 0, jobs = 1; kills < KILLS; jobs++) {
        // Of a job that has ended before it could be killed there is nothing to learn.
        expect(jobs).toBeLessThanOrEqual(2 * KILLS);
        const share = (random.next() >>> 0) / 2 ** 32;
        const { id } = await post(request);
        const before = await deployment.waitFor(id, (job) => hasEnded(job) || isPast(job, share));
        await kill(worker);
        worker = await deployment.startWorker(SAME_BITS);
        const job = await deployment.waitFor(id, hasEnded);
        if (before.status === 'running') kills++;
        const { phase, epoch, step } = before.progress ?? {};
        const behind = before.checkpoint && `${before.checkpoint.epoch}.${before.checkpoint.step}`;
        console.log(
          `seed ${SEED}: ${request.scenario}, ${before.status}, killed in ${phase}, epoch ${epoch}, step ${step}; ` +
            `checkpoint ${behind}; ${job.attempts} attempts`,
        );
        expect(digestsOf(await manifestOf(job))).toEqual(expected);
      }
    },
    600_000,
  );
});

it('checkpoints of hundreds of megabytes go up while an engine has the main thread', async () => {
  await deployment.startWorker();
  const { id } = await deployment.post({
    scenario: 'large-different',
    model: { featureLayer: 'block5_pool' },
    training: { epochs: 10, batchSize: 4 },
  });
  const epochs = new Set<number>();
  await deployment.waitFor(id, ({ phase, checkpoint }) => {
    if (phase === 'training' && checkpoint) epochs.add(checkpoint.epoch);
    return phase === 'export' || phase === 'upload';
  });
  expect(epochs.size).toBeGreaterThan(3);
});

describe('a job whose newest checkpoint is damaged', () => {
  const DAMAGES: Record<string, (folder: string) => void> = {
    'has a flipped byte': (folder) => {
      const file = join(folder, 'optimizer.bin');
      const bytes = readFileSync(file);
      bytes[bytes.length >> 1]! ^= 1;
      writeFileSync(file, bytes);
    },
    'is cut short': (folder) => truncateSync(join(folder, 'weights.bin'), 100),
    'lacks a file': (folder) => rmSync(join(folder, 'weights.bin')),
    'has a broken index': (folder) => {
      const file = join(folder, 'checkpoint.json');
      writeFileSync(file, readFileSync(file, 'utf8').replace('"epoch": ', '"epoch": 1'));
    },
  };

  it.each(Object.keys(DAMAGES))('goes on from the one before it, and says so: it %s', async (damage) => {
    const worker = await deployment.startWorker();
    const { id } = await deployment.post({ training: { epochs: 300 } });
    await deployment.waitFor(id, ({ checkpoint }) => (checkpoint?.epoch ?? 0) >= 3);
    await kill(worker);
    const folder = join(deployment.folder, 'output', id, 'checkpoints');
    const whole = readdirSync(folder)
      .filter((name) => readdirSync(join(folder, name)).includes('checkpoint.json'))
      .sort();
    const newest = whole.at(-1)!;
    DAMAGES[damage]!(join(folder, newest));

    const second = await deployment.startWorker();
    const resumed = await second.waitForLog(({ msg }) => msg === 'going on from a checkpoint');
    expect(resumed['epochs']).toBe(Number(/^epoch-(\d+)/.exec(whole.at(-2)!)![1]));
    await second.waitForLog(({ level, msg }) => level === 40 && msg.includes(newest));
    const job = await deployment.waitFor(id, hasEnded);
    expect(job).toMatchObject({ status: 'succeeded', attempts: 2 });
    expect(job.warnings).toEqual([expect.stringContaining(newest)]);
    expect(job.metrics).toHaveLength(300);
  });
});

describe('a worker that is stopped and wakes up when another has finished its job', () => {
  it('finds its writes refused: one manifest, whose files are all of one attempt', async () => {
    const first = await deployment.startWorker();
    const { id } = await deployment.post({ training: { epochs: 300 } });
    await deployment.waitFor(id, ({ checkpoint }) => (checkpoint?.epoch ?? 0) >= 3);
    first.signalAll('SIGSTOP');

    await deployment.startWorker();
    const job = await deployment.waitFor(id, hasEnded);
    const manifest = await manifestOf(job);
    expect(manifest.attempt).toBe(2);
    const before = JSON.stringify(await deployment.client.getJob(id));

    first.signalAll('SIGCONT');
    const ended = await first.waitForLog(({ msg }) => msg === 'attempt ended');
    expect(['superseded', 'abandoned']).toContain(ended['ending']);
    expect(JSON.stringify(await deployment.client.getJob(id))).toBe(before);
    expect(await manifestOf(job)).toEqual(manifest);
    const folder = join(deployment.folder, 'output', id);
    for (const { path, ...digest } of manifest.files)
      expect(await hashFile(join(folder, path))).toEqual(digest);
    const checkpoints = manifest.files.filter(({ path }) => path.startsWith('checkpoints/'));
    expect(checkpoints.every(({ path }) => path.includes('-attempt-0002/'))).toBe(true);
    expect(readdirSync(join(folder, 'attempts')).sort()).toEqual(['0001.json', '0002.json', '0003.json']);
  });
});
