import { readdirSync } from 'node:fs';
import { afterEach, beforeEach, expect, inject, it } from 'vitest';
import { type Deployment, hasEnded, startDeployment } from '../support/deployment.js';
import { gone } from '../support/processes.js';
import type { LogLine, Service } from '../support/services.js';

let deployment: Deployment;
beforeEach(async () => {
  deployment = await startDeployment(inject('redisUrl'));
});
afterEach(() => deployment.end());

/**
 * Starts a job that trains all of VGG19, and waits until it does: about a second a step, nearly all of it within ONNX
 * Runtime.
 */
async function startLongSteps(worker: Service): Promise<{ id: string; trainerPid: number }> {
  const { id } = await deployment.post({
    scenario: 'large-different',
    model: { inputSize: 128, featureLayer: 'block5_pool' },
    training: { epochs: 1000 },
  });
  await deployment.waitFor(id, ({ progress }) => progress?.phase === 'training' && (progress.step ?? 0) > 0);
  const line = await worker.waitForLog(({ msg }) => msg === 'attempt started');
  return { id, trainerPid: Number(line['trainerPid']) };
}

const trainerEnded = ({ msg }: LogLine) => msg === 'trainer ended';
const cores = () => readdirSync('.').filter((name) => /^core(\.|$)/.test(name));

function expectQuietEnd(worker: Service, ended: LogLine): void {
  expect(ended).toMatchObject({ exitCode: 0, signal: null });
  expect(worker.logs.filter(({ msg }) => msg === 'trainer stderr')).toEqual([]);
  expect(cores()).toEqual([]);
}

it('is canceled between two native calls, without a word of an abort', async () => {
  const worker = await deployment.startWorker();
  const { id } = await startLongSteps(worker);
  await deployment.client.cancelJob(id);
  expectQuietEnd(worker, await worker.waitForLog(trainerEnded));
  expect(await deployment.waitFor(id, hasEnded)).toMatchObject({ status: 'canceled' });
});

it('is given back on SIGTERM, without a word of an abort', async () => {
  const worker = await deployment.startWorker();
  const { id } = await startLongSteps(worker);
  worker.signal('SIGTERM');
  expect(await worker.ended).toEqual({ code: 0, signal: null });
  expectQuietEnd(worker, await worker.waitForLog(trainerEnded));
  expect(await deployment.client.getJob(id)).toMatchObject({ status: 'queued' });
});

it('ends with a worker that is killed, and leaves no core dump', async () => {
  const worker = await deployment.startWorker();
  const { trainerPid } = await startLongSteps(worker);
  worker.signal('SIGKILL');
  await worker.ended;
  await gone(trainerPid);
  expect(cores()).toEqual([]);
});
