import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { selectEngine } from '@headstart/engines';
import type { TrainOptions } from '@headstart/training';
import { describe, expect, it } from 'vitest';
import {
  drawnPicture,
  picturesOf,
  planFor,
  temporaryFolder,
  trainDrawn,
  weightsOf,
} from '../../support/training.js';

const small = (training = {}) =>
  planFor({
    scenario: 'small-different',
    model: { featureLayer: 'block1_pool', head: [{ units: 16, dropout: 0.3, l2: 0.001 }] },
    training: { epochs: 4, batchSize: 5, ...training },
  });

describe('a run that is told to finish', () => {
  it('ends the epoch at the next step, and exports what it has', async () => {
    await selectEngine('wasm', { trainsConvolutions: false });
    const finish = new AbortController();
    const steps: number[] = [];
    const run = await trainDrawn(small(), {
      finish: finish.signal,
      onProgress: ({ epoch, step }) => {
        if (epoch === null) return;
        steps.push(step!);
        if (epoch === 2) finish.abort();
      },
    });
    expect(steps).toEqual([1, 2, 3, 1]);
    expect(run.metrics.map(({ epoch }) => epoch)).toEqual([1, 2]);
    expect(run.exportedEpoch).toBe(2);
    expect(run.evaluation.probabilities).toHaveLength(6);
    expect(run.evaluation.loss).toBe(run.metrics[1]!.valLoss);
  });

  it('makes one step at least', async () => {
    await selectEngine('wasm', { trainsConvolutions: false });
    const run = await trainDrawn(small(), { finish: AbortSignal.abort() });
    expect(run.metrics).toHaveLength(1);
  });

  it('does without a picture that it no longer needs', async () => {
    await selectEngine('wasm', { trainsConvolutions: false });
    const finish = new AbortController();
    let augmented = 0;
    const run = await trainDrawn(small({ augmentation: { shift: 0.1 } }), {
      finish: finish.signal,
      // The second batch is loaded while the first is used.
      loadPicture(picture, augment) {
        if (augment === null || ++augmented <= 5) return drawnPicture(picture);
        finish.abort();
        return Promise.reject(new Error('the picture is gone'));
      },
    });
    expect(run.metrics).toHaveLength(1);
  });

  it('exports the best of the head where the next stage has not trained yet', async () => {
    await selectEngine('onnxruntime', { trainsConvolutions: true });
    const plan = planFor({
      scenario: 'large-similar',
      freezeLayers: 'block5_conv3',
      model: { head: [] },
      training: {
        epochs: 4,
        headEpochs: 3,
        batchSize: 2,
        // Nothing gains so much: the first epoch stays the best.
        earlyStopping: { monitor: 'valLoss', patience: 1, minDelta: 1000 },
      },
    });
    const finish = new AbortController();
    const kept = await temporaryFolder();
    const stages: string[] = [];
    const options: Partial<TrainOptions> = {
      dataset: { train: picturesOf(4), val: picturesOf(2) },
      finish: finish.signal,
      onFeatures({ stage }) {
        stages.push(stage);
        if (stage === 'fine-tune') finish.abort();
      },
      onCheckpoint: ({ directory, epoch }) => rename(directory, join(kept, `${epoch}`)),
    };
    const run = await trainDrawn(plan, options);
    expect(stages).toEqual(['head', 'fine-tune']);
    expect(run.metrics.map(({ stage }) => stage)).toEqual(['head', 'head', 'head']);
    expect(run.exportedEpoch).toBe(1);
    expect(run.evaluation.loss).toBeCloseTo(run.metrics[0]!.valLoss, 5);
    // As an attempt does that comes behind one which was lost there.
    const resumed = await trainDrawn(plan, { ...options, resumeFrom: join(kept, '3') });
    expect(resumed.exportedEpoch).toBe(1);
    expect(resumed.metrics).toEqual(run.metrics);
    expect(weightsOf(resumed)).toEqual(weightsOf(run));
    expect(resumed.evaluation).toEqual(run.evaluation);
  }, 120_000);
});
