import { selectEngine } from '@headstart/engines';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { classWeightsOf, crossEntropy } from '../../../packages/training/src/loss.js';
import { planFor } from '../../support/training.js';

const LOGITS = [
  [2, -1, 0.5],
  [0, 0, 0],
  [-3, 4, 1],
];
const LABELS = [0, 2, 1];

/** Written out from the definition, in float64. */
function expectedLosses(labelSmoothing: number): number[] {
  return LOGITS.map((row, i) => {
    const logSum = Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
    const target = (k: number) => (k === LABELS[i] ? 1 - labelSmoothing : 0) + labelSmoothing / row.length;
    return -row.reduce((sum, logit, k) => sum + target(k) * (logit - logSum), 0);
  });
}

describe.each(['onnxruntime', 'wasm'] as const)('crossEntropy on %s', (engine) => {
  it.each([0, 0.1])('is the definition, with a label smoothing of %d', async (labelSmoothing) => {
    await selectEngine(engine, { trainsConvolutions: false });
    const losses = crossEntropy(tf.tensor2d(LOGITS), LABELS, labelSmoothing).dataSync();
    expectedLosses(labelSmoothing).forEach((expected, i) => expect(losses[i]).toBeCloseTo(expected, 5));
  });
});

describe('classWeightsOf', () => {
  const weights = (classWeights: 'balanced' | Record<string, number> | undefined) =>
    classWeightsOf(
      planFor({ scenario: 'small-different', training: { ...(classWeights && { classWeights }) } }),
      [0, 0, 0, 1],
    );

  it('is 1 by default, n / (classes x count) balanced, or what the request says', () => {
    expect(weights(undefined)).toEqual([1, 1]);
    expect(weights('balanced')).toEqual([4 / 6, 2]);
    expect(weights({ light: 3 })).toEqual([1, 3]);
  });

  it('is 1 for a class that the request does not name, whatever its name', () => {
    const plan = planFor({ scenario: 'small-different', training: { classWeights: { light: 3 } } });
    const classes = ['constructor', 'light', 'toString'];
    expect(classWeightsOf({ ...plan, classes }, [0, 1, 2])).toEqual([1, 3, 1]);
  });
});
