import { type Plan } from '@headstart/contracts';
import { prefixCompilerOf, selectEngine } from '@headstart/engines';
import { type BaseWeights, buildNetwork, loadBaseWeights, preprocess } from '@headstart/training';
import * as tf from '@tensorflow/tfjs-core';
import h5wasm from 'h5wasm/node';
import { beforeAll, describe, expect, it } from 'vitest';
import { classWeightsOf } from '../../packages/training/src/loss.js';
import { type StepContext, trainStep } from '../../packages/training/src/train-step.js';
import {
  differenceFrom,
  documentedDifference,
  drawPicture,
  PICTURES,
  planOfCase,
  readFixture,
  relativeDifference,
  type Sampled,
  TRAINING_CASES,
} from '../support/keras.js';
import { BLOCK_1_TO_3_WEIGHTS, GOLDEN_FEATURES, sharedIsMissing } from '../support/shared.js';
import { planFor, randomBase, trainDrawn } from '../support/training.js';

interface RecordedCase {
  featureScale: number;
  firstStep: { pictures: number[]; loss: number; gradients: Record<string, Sampled> };
  curves: { loss: number; accuracy: number; val_loss: number; val_accuracy: number }[];
  probabilities: number[][];
}

const recorded = readFixture<Record<string, RecordedCase>>('training.json');

beforeAll(async () => {
  await selectEngine('onnxruntime', { trainsConvolutions: true });
});

it("has Keras's results of every case", () => {
  expect(Object.keys(recorded)).toEqual(Object.keys(TRAINING_CASES));
});

/** Outputs of the named layers, which must be as Keras's within what the document says. */
function expectFeatures(
  plan: Plan,
  weights: BaseWeights,
  pictures: Float32Array[],
  expected: Record<string, Sampled>,
  row: string,
): void {
  const network = buildNetwork(plan, weights);
  for (const [layer, sampled] of Object.entries(expected)) {
    const end = plan.layers.findIndex(({ name }) => name === layer) + 1;
    const values = tf.tidy(() =>
      network.apply(preprocess(pictures, plan.inputSize), 0, end).dataSync<'float32'>(),
    );
    expect(differenceFrom(sampled, values), layer).toBeLessThanOrEqual(documentedDifference(row));
  }
  network.dispose();
}

it("computes Keras's features from random weights, block by block", async () => {
  const plan = planOfCase('small-similar');
  const pictures = PICTURES.train.slice(0, 4).map((picture) => drawPicture(picture, plan.inputSize));
  const expected = readFixture<Record<string, Sampled>>('features.json');
  expect(Object.keys(expected)).toHaveLength(5);
  expectFeatures(plan, await randomBase(plan), pictures, expected, 'Features of five blocks, random weights');
});

it.skipIf(sharedIsMissing())("computes Keras's features of photographs from ImageNet weights", async () => {
  const plan = planFor({
    scenario: 'small-different',
    model: { weights: 'file:///w.h5', featureLayer: 'block3_pool', inputSize: 224 },
  });
  const file = () => Promise.resolve(BLOCK_1_TO_3_WEIGHTS);
  const weights = await loadBaseWeights(plan, { fetchFile: file, imagenetFile: file });
  const expected = readFixture<Record<string, Sampled>>('golden-features.json');
  expect(Object.keys(expected)).toHaveLength(3);
  expectFeatures(
    plan,
    weights,
    await goldenPictures(),
    expected,
    'Features of three blocks, ImageNet weights',
  );
});

/** Three photographs, RGB [224, 224, 3] float32. */
async function goldenPictures(): Promise<Float32Array[]> {
  await h5wasm.ready;
  const golden = new h5wasm.File(GOLDEN_FEATURES, 'r');
  const bytes = (golden.get('images_rgb_u8') as InstanceType<typeof h5wasm.Dataset>).value as Uint8Array;
  golden.close();
  const length = 224 * 224 * 3;
  return [0, 1, 2].map((i) => Float32Array.from(bytes.subarray(i * length, (i + 1) * length)));
}

describe.each(Object.keys(TRAINING_CASES))('%s', (name) => {
  const plan = planOfCase(name);
  const expected = recorded[name]!;

  it("begins with Keras's loss and gradients", async () => {
    const network = buildNetwork(plan, await randomBase(plan), expected.featureScale);
    const stage = { ...plan.stages.at(-1)!, cachedLayers: 0 };
    const variables = network.variablesOf(stage.trainedLayers);
    const gradients = new Map<string, Float32Array>();
    const optimizer = {
      apply: (grads: tf.NamedTensorMap) => {
        for (const { name: path, variable } of variables)
          gradients.set(path, grads[variable.name]!.dataSync<'float32'>());
        tf.dispose(grads);
      },
    } as unknown as StepContext['optimizer'];
    const batch = expected.firstStep.pictures.map((index) => PICTURES.train[index]!);
    const labels = batch.map(({ label }) => label);
    const classWeights = classWeightsOf(plan, labels);
    const { loss } = await trainStep(
      { plan, stage, network, variables, optimizer, classWeights },
      preprocess(
        batch.map((picture) => drawPicture(picture, plan.inputSize)),
        plan.inputSize,
      ),
      labels,
      stage.learningRate,
      () => 'no dropout',
    );
    network.dispose();
    expect(Math.abs(loss / expected.firstStep.loss - 1)).toBeLessThanOrEqual(
      documentedDifference('Loss of the first step'),
    );
    expect([...gradients.keys()]).toEqual(Object.keys(expected.firstStep.gradients));
    for (const [path, values] of gradients)
      expect(differenceFrom(expected.firstStep.gradients[path]!, values), path).toBeLessThanOrEqual(
        documentedDifference('Gradients of the first step'),
      );
  });

  it("goes along Keras's curves", async () => {
    const run = await trainDrawn(plan, {
      dataset: PICTURES,
      compilePrefix: prefixCompilerOf('onnxruntime'),
      loadPicture: (picture) => Promise.resolve(drawPicture(picture, plan.inputSize)),
    });
    const of = (key: 'loss' | 'valLoss' | 'accuracy' | 'valAccuracy') =>
      run.metrics.map((epoch) => epoch[key]);
    const wanted = (key: keyof RecordedCase['curves'][number]) => expected.curves.map((epoch) => epoch[key]);
    const losses = documentedDifference(
      `Losses of five epochs, base ${name.startsWith('small') ? 'frozen' : 'trained'}`,
    );
    expect(relativeDifference(of('loss'), wanted('loss'))).toBeLessThanOrEqual(losses);
    expect(relativeDifference(of('valLoss'), wanted('val_loss'))).toBeLessThanOrEqual(losses);
    const accuracies = [of('accuracy'), of('valAccuracy')].flat();
    [wanted('accuracy'), wanted('val_accuracy')]
      .flat()
      .forEach((accuracy, i) => expect(accuracies[i]).toBeCloseTo(accuracy, 6));
    const probabilities = run.evaluation.probabilities.map((row, i) =>
      Math.max(...row.map((value, k) => Math.abs(value - expected.probabilities[i]![k]!))),
    );
    expect(Math.max(...probabilities)).toBeLessThanOrEqual(
      documentedDifference('Probabilities after five epochs'),
    );
    run.network.dispose();
  });
});
