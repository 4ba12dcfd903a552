import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { JobRequest, type JobRequestInput, type Picture, type Plan } from '@headstart/contracts';
import {
  type BaseWeights,
  type FeatureCacheOptions,
  loadBaseWeights,
  train,
  type TrainedRun,
  type TrainOptions,
} from '@headstart/training';
import { resolvePlan } from '@headstart/training/plan';
import { onTestFinished } from 'vitest';

/** A folder that goes when the test ends. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'headstart-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A plan for two classes on random weights. */
export function planFor(request: Omit<JobRequestInput, 'datasetUri'>): Plan {
  const model = { weights: 'random', inputSize: 32, ...request.model };
  return resolvePlan(JobRequest.parse({ datasetUri: 'file:///data/', ...request, model }), {
    classes: ['dark', 'light'],
  });
}

export function picturesOf(count: number): Picture[] {
  return Array.from({ length: count }, (_, index) => ({
    path: `${index}.png`,
    file: `${index}.png`,
    label: index % 2,
    sha256: createHash('sha256').update(`${index}`).digest('hex'),
  }));
}

/** Dark and light pictures with a pattern of their own, drawn from nothing but their label and index. */
export function drawnPicture({ label, path }: Picture): Promise<Float32Array> {
  const index = Number.parseInt(path, 10);
  return Promise.resolve(
    Float32Array.from({ length: 32 * 32 * 3 }, (_, i) => (label === 1 ? 150 : 60) + ((i * (index + 3)) % 50)),
  );
}

export async function randomBase(plan: Plan): Promise<BaseWeights> {
  const unreachable = () => Promise.reject(new Error('random weights need no file'));
  return loadBaseWeights(plan, { fetchFile: unreachable, imagenetFile: unreachable });
}

/** A feature cache at a folder of its own, which is to have nothing to complain of. */
export function cacheAt(directory: string, change: Partial<FeatureCacheOptions> = {}): FeatureCacheOptions {
  return {
    directory,
    maxBytes: 1e9,
    computedBy: { engine: 'test', decoding: 'test' },
    shared: null,
    warn: (message, fields) => {
      throw new Error(`${message}: ${JSON.stringify(fields)}`);
    },
    ...change,
  };
}

/** Trains on drawn pictures, with whatever the test wants otherwise. */
export async function trainDrawn(plan: Plan, options: Partial<TrainOptions> = {}): Promise<TrainedRun> {
  const never = new AbortController().signal;
  const workDir = await temporaryFolder();
  return train({
    plan,
    weights: await randomBase(plan),
    dataset: { train: picturesOf(12), val: picturesOf(18).slice(12) },
    loadPicture: drawnPicture,
    drawFlip: ({ epoch, index }) => (epoch + index) % 2 === 1,
    featureCache: cacheAt(join(workDir, 'features')),
    workDir,
    resumeFrom: null,
    signal: never,
    interrupt: never,
    finish: never,
    onPhase: () => undefined,
    onProgress: () => undefined,
    onFeatures: () => undefined,
    onEpoch: () => undefined,
    onCheckpoint: () => Promise.resolve(),
    ...options,
  });
}

/** Every weight of a run by name, to compare runs bit by bit. */
export function weightsOf(run: TrainedRun): Record<string, Float32Array> {
  const names = run.plan.layers.filter(({ parameters }) => parameters !== 0).map(({ name }) => name);
  return Object.fromEntries(
    run.network
      .variablesOf(names)
      .map(({ name, variable }) => [name, Float32Array.from(variable.dataSync())]),
  );
}
