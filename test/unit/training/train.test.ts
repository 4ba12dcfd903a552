import { cp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, type EpochMetrics, type Plan, type Progress } from '@headstart/contracts';
import { selectEngine } from '@headstart/engines';
import { type TrainedRun, TrainingInterrupted, type TrainOptions } from '@headstart/training';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  drawnPicture,
  picturesOf,
  planFor,
  randomBase,
  temporaryFolder,
  trainDrawn,
  weightsOf,
} from '../../support/training.js';

const small = (training = {}, model = {}) =>
  planFor({
    scenario: 'small-different',
    model: { featureLayer: 'block1_pool', head: [{ units: 16, dropout: 0.3, l2: 0.001 }], ...model },
    training: { epochs: 4, batchSize: 5, ...training },
  });

beforeAll(async () => {
  await selectEngine('wasm', { trainsConvolutions: false });
});

describe('train', () => {
  it('learns, and reports every step and epoch', async () => {
    const phases: string[] = [];
    const progress: Progress[] = [];
    const epochs: EpochMetrics[] = [];
    const run = await trainDrawn(small({ epochs: 12 }), {
      onPhase: (phase) => phases.push(phase),
      onProgress: (p) => progress.push(p),
      onEpoch: (metrics) => epochs.push(metrics),
    });
    expect(phases).toEqual(['features', 'training']);
    expect(progress.filter(({ phase }) => phase === 'features').at(-1)).toMatchObject({
      done: 18,
      total: 18,
      unit: 'pictures',
    });
    expect(progress.at(-1)).toMatchObject({
      phase: 'training',
      done: 36,
      total: 36,
      epoch: 12,
      step: 3,
      steps: 3,
      remainingSeconds: 0,
    });
    expect(epochs).toEqual(run.metrics);
    expect(run.metrics.at(-1)!.valAccuracy).toBe(1);
    expect(run.metrics.at(-1)!.loss).toBeLessThan(run.metrics[0]!.loss);
    expect(run.exportedEpoch).toBe(12);
    expect(run.evaluation.probabilities).toHaveLength(6);
    expect(run.evaluation.probabilities.every(([a, b]) => Math.abs(a! + b! - 1) < 1e-6)).toBe(true);
  });

  it('starts from the loss of a head that knows nothing, however large the features are', async () => {
    for (const inputScale of [1, 1000]) {
      const run = await trainDrawn(small({ epochs: 1, learningRate: 1e-9 }, { head: [] }), {
        loadPicture: async (picture) => (await drawnPicture(picture)).map((value) => value * inputScale),
      });
      expect(run.metrics[0]!.valLoss).toBeGreaterThan(0.1);
      expect(run.metrics[0]!.valLoss).toBeLessThan(3);
    }
  });

  it('gives the same weights for the same seed, others for another', async () => {
    const [first, second, other] = [
      await trainDrawn(small()),
      await trainDrawn(small()),
      await trainDrawn(small({ seed: 1 })),
    ];
    expect(weightsOf(second)).toEqual(weightsOf(first));
    expect(weightsOf(other)['head_dense_1/kernel']).not.toEqual(weightsOf(first)['head_dense_1/kernel']);
  });

  it('goes on from any checkpoint to the very same weights', async () => {
    const kept = await temporaryFolder();
    const whole = await trainDrawn(small(), {
      onCheckpoint: ({ directory, epoch }) => rename(directory, join(kept, `${epoch}`)),
    });
    for (const epoch of [1, 2, 3, 4]) {
      const seen: number[] = [];
      const resumed = await trainDrawn(small(), {
        resumeFrom: join(kept, `${epoch}`),
        onEpoch: (metrics) => seen.push(metrics.epoch),
      });
      expect(seen).toEqual([1, 2, 3, 4].slice(epoch));
      expectSameRun(resumed, whole);
    }
  });

  it.each([
    ['small data', small()],
    ['augmented pictures', small({ augmentation: { flip: true, shift: 0.1 }, epochs: 2 })],
    ['early stopping', small({ epochs: 30, learningRate: 0.05, earlyStopping: { patience: 2 } })],
    [
      'momentum and a schedule',
      small({ optimizer: { type: 'sgd' }, schedule: { type: 'cosine', warmupEpochs: 1 } }),
    ],
    ['RMSprop', small({ optimizer: { type: 'rmsprop' }, epochs: 2 })],
  ])('comes to the very same state when it is stopped behind every step: %s', async (_, plan) => {
    const whole = await trainDrawn(plan);
    const { run, attempts } = await trainStepByStep(plan);
    // One for every step, and the one that found nothing left to do but the last evaluation.
    expect(attempts).toBe(whole.metrics.length * 3 + 1);
    expectSameRun(run, whole);
  });

  it('has another digest when anything is computed differently', async () => {
    const digests = [small(), small({ seed: 1 }), small({ learningRate: 0.002 }), small({ epochs: 5 })].map(
      async (plan) => (await trainDrawn(plan)).stateDigest,
    );
    expect(new Set(await Promise.all(digests)).size).toBe(4);
  });

  it('saves a checkpoint within an epoch as often as it is asked to', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const saved: string[] = [];
    await trainDrawn(small({ epochs: 2, batchSize: 2, checkpointEverySeconds: 10 }), {
      onProgress: ({ phase }) => phase === 'training' && vi.advanceTimersByTime(4000),
      onCheckpoint: async ({ epoch, step }) => void saved.push(`${epoch}.${step}`),
    });
    // Six steps an epoch, 4 s each.
    expect(saved).toEqual(['0.3', '0.6', '1.0', '1.3', '1.6', '2.0']);
  });

  it('does not take a checkpoint with an altered byte, cut short, or without a file', async () => {
    const kept = await temporaryFolder();
    await trainDrawn(small({ epochs: 1 }), {
      onCheckpoint: ({ directory }) => cp(directory, kept, { recursive: true }),
    });
    const files = await readdir(kept);
    expect(files.toSorted()).toEqual(['checkpoint.json', 'optimizer.bin', 'weights.bin']);
    const resume = () => trainDrawn(small({ epochs: 1 }), { resumeFrom: kept });
    await resume();
    for (const name of files) {
      const whole = await readFile(join(kept, name));
      const flipped = Buffer.from(whole);
      flipped[whole.length >> 1]! ^= 1;
      for (const bytes of [flipped, whole.subarray(0, -2), Buffer.alloc(0)]) {
        await writeFile(join(kept, name), bytes);
        await expect(resume()).rejects.toThrow(/checkpoint\.json|JSON/);
      }
      await rm(join(kept, name));
      await expect(resume()).rejects.toThrow('ENOENT');
      await writeFile(join(kept, name), whole);
    }
    await resume();
  });

  it('does not go on from the checkpoint of another run', async () => {
    const kept = await temporaryFolder();
    await trainDrawn(small({ epochs: 1 }), {
      onCheckpoint: ({ directory }) => cp(directory, kept, { recursive: true }),
    });
    const dataset = { train: picturesOf(10), val: picturesOf(6) };
    for (const [plan, change] of [
      [small({ epochs: 1, seed: 1 }), {}],
      [small({ epochs: 1 }), { dataset }],
    ] as const)
      await expect(trainDrawn(plan, { resumeFrom: kept, ...change })).rejects.toThrow('another plan');
  });

  it('fails as diverged where the loss is no number, and names the last good checkpoint', async () => {
    // A penalty of 10 at a rate of 1 multiplies the kernel by -19 in every step: it overflows within the 14th epoch.
    const plan = small(
      { epochs: 20, optimizer: { type: 'sgd', momentum: 0 }, learningRate: 1 },
      { head: [{ units: 4, activation: 'linear', l2: 10 }] },
    );
    const checkpoints: number[] = [];
    const failure: unknown = await trainDrawn(plan, {
      onCheckpoint: async ({ epoch }) => void checkpoints.push(epoch),
    }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(AppError);
    expect(failure).toMatchObject({
      code: 'diverged',
      retryable: false,
      details: { lastCheckpointEpoch: checkpoints.at(-1) },
    });
    expect(checkpoints.length).toBeGreaterThan(0);
  });

  it('stops early and puts the best epoch back', async () => {
    const plan = small({
      epochs: 60,
      learningRate: 0.05,
      earlyStopping: { monitor: 'valLoss', patience: 2 },
    });
    // Validation pictures with the wrong labels: the better the fit, the higher the validation loss.
    const val = picturesOf(6).map((picture) => ({ ...picture, label: 1 - picture.label }));
    const run = await trainDrawn(plan, {
      dataset: { train: picturesOf(12), val },
      loadPicture: (p) => drawnPicture({ ...p, label: Number.parseInt(p.path, 10) % 2 }),
    });
    const best = run.metrics.toSorted((a, b) => a.valLoss - b.valLoss)[0]!;
    expect(run.metrics).toHaveLength(best.epoch + 2);
    expect(run.exportedEpoch).toBe(best.epoch);
    expect(run.evaluation.loss).toBeCloseTo(best.valLoss, 5);
  });

  it('stops at the next step with the reason it was given', async () => {
    const stop = new AbortController();
    const reason = new AppError('canceled', 'The job was canceled.');
    const steps: Progress[] = [];
    const run = trainDrawn(small(), {
      signal: stop.signal,
      onProgress: (progress) => {
        if (progress.phase === 'training' && steps.push(progress) === 2) stop.abort(reason);
      },
    });
    await expect(run).rejects.toBe(reason);
    expect(steps).toHaveLength(2);
  });

  it('gives the job back at the next step, with a checkpoint of it', async () => {
    const interrupt = new AbortController();
    const checkpoints: string[] = [];
    const run = trainDrawn(small(), {
      interrupt: interrupt.signal,
      onProgress: ({ epoch, step }) => epoch === 2 && step === 2 && interrupt.abort(),
      onCheckpoint: async ({ epoch, step }) => void checkpoints.push(`${epoch}.${step}`),
    });
    await expect(run).rejects.toBeInstanceOf(TrainingInterrupted);
    expect(checkpoints).toEqual(['1.0', '1.2']);
  });

  it('sees augmented pictures anew in every epoch, and plain ones in validation', async () => {
    const loads: ({ epoch: number; index: number } | null)[] = [];
    const run = await trainDrawn(small({ epochs: 2, augmentation: { shift: 0.1 } }), {
      loadPicture: (picture, augment) => {
        loads.push(augment);
        return drawnPicture(picture);
      },
    });
    expect(run.metrics).toHaveLength(2);
    const augmented = loads.filter((load) => load !== null);
    expect(new Set(augmented.map(({ epoch, index }) => `${epoch}/${index}`)).size).toBe(24);
    // Twice the validation pictures, and once each of the sample that the features' scale is measured on.
    expect(loads.filter((load) => load === null)).toHaveLength(2 * 6 + 12);
  });

  it('leaks no tensors from epoch to epoch', async () => {
    const counts: number[] = [];
    const before = tf.memory().numTensors;
    const run = await trainDrawn(small({ epochs: 4 }), {
      onEpoch: () => counts.push(tf.memory().numTensors),
    });
    expect(new Set(counts).size).toBe(1);
    run.network.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('train with convolutions', () => {
  it('tunes what is not frozen, behind the head, and nothing else', async () => {
    await selectEngine('onnxruntime', { trainsConvolutions: true });
    const plan = planFor({
      scenario: 'large-similar',
      freezeLayers: 'block5_conv3',
      model: { head: [{ units: 8 }] },
      training: { epochs: 2, headEpochs: 1, batchSize: 2, optimizer: { type: 'sgd' }, learningRate: 0.01 },
    });
    const options = { dataset: { train: picturesOf(4), val: picturesOf(2) } };
    const whole = await trainDrawn(plan, options);
    expect(whole.metrics.map(({ stage }) => stage)).toEqual(['head', 'fine-tune']);
    const initial = await randomBase(plan);
    const trained = weightsOf(whole);
    for (const [name, { kernel }] of initial.layers) {
      const same = Buffer.from(trained[`${name}/kernel`]!.buffer).equals(Buffer.from(kernel.buffer));
      expect([name, same]).toEqual([name, name !== 'block5_conv4']);
    }
    const { run, attempts } = await trainStepByStep(plan, options);
    expect(attempts).toBe(5);
    expectSameRun(run, whole);
    const finished = await trainDrawn(plan, { ...options, finish: AbortSignal.abort() });
    expect(finished.metrics.map(({ stage }) => stage)).toEqual(['head']);
  }, 120_000);
});

/** Two runs that no stop, and nothing else but the time they took, can tell apart. */
function expectSameRun(actual: TrainedRun, expected: TrainedRun): void {
  const untimed = ({ metrics }: TrainedRun) =>
    metrics.map((epoch) => ({ ...epoch, seconds: null, picturesPerSecond: null }));
  expect(untimed(actual)).toEqual(untimed(expected));
  expect(weightsOf(actual)).toEqual(weightsOf(expected));
  expect(actual.evaluation).toEqual(expected.evaluation);
  expect(actual.exportedEpoch).toBe(expected.exportedEpoch);
  expect(actual.stateDigest).toBe(expected.stateDigest);
}

/** Trains in attempts that are interrupted behind their first step, each going on from the one before. */
async function trainStepByStep(
  plan: Plan,
  options: Partial<TrainOptions> = {},
): Promise<{ run: TrainedRun; attempts: number }> {
  const kept = await temporaryFolder();
  let resumeFrom: string | null = null;
  for (let attempts = 1; ; attempts++) {
    const interrupt = new AbortController();
    const newest = join(kept, `${attempts}`);
    try {
      const run = await trainDrawn(plan, {
        ...options,
        resumeFrom,
        interrupt: interrupt.signal,
        onProgress: ({ phase }) => phase === 'training' && interrupt.abort(),
        async onCheckpoint({ directory }) {
          await rm(newest, { recursive: true, force: true });
          await rename(directory, newest);
        },
      });
      return { run, attempts };
    } catch (error) {
      if (!(error instanceof TrainingInterrupted)) throw error;
      resumeFrom = newest;
    }
  }
}
