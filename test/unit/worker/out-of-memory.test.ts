import { AppError } from '@headstart/contracts';
import { type EngineName, selectEngine } from '@headstart/engines';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { explainOutOfMemory } from '../../../services/worker/src/trainer/out-of-memory.js';
import { planFor } from '../../support/training.js';

/** 4 TiB: more than a machine gives out. */
const SIDE = 2 ** 20;

/** The engine's own error for a tensor that no memory can hold. */
async function failureOf(engine: EngineName): Promise<unknown> {
  await selectEngine(engine, { trainsConvolutions: false });
  try {
    tf.tidy(() => tf.fill([SIDE, SIDE], 1).dataSync());
  } catch (error) {
    return error;
  }
  throw new Error(`${engine} has allocated 4 TiB.`);
}

const planOf = (batchSize: number) => planFor({ scenario: 'large-different', training: { batchSize } });

describe('an engine that runs out of memory', () => {
  it.each(['onnxruntime'] as const)('is understood: %s', async (engine) => {
    expect(explainOutOfMemory(await failureOf(engine), 'training', planOf(32))).toBeInstanceOf(AppError);
  });

  it('fails the job with its batch size, and one to try', () => {
    const cause = new Error('Invalid TF_Status: 8\nMessage: OOM when allocating tensor with shape[32,64]');
    expect(explainOutOfMemory(cause, 'training', planOf(32))).toMatchObject({
      code: 'out_of_memory',
      retryable: false,
      cause,
      details: { phase: 'training', batchSize: 32, suggestedBatchSize: 16, inputSize: 32 },
      errors: [{ field: 'training.batchSize', received: 32, allowed: '1 to 16' }],
    });
  });

  it.each([
    ['where no batch is smaller', 'training', 1],
    ['where the batch size has no say', 'features', 32],
  ] as const)('offers no batch size %s', (_, phase, batchSize) => {
    const error = explainOutOfMemory(
      new Error('Failed to allocate memory for requested buffer of size 4398046511104'),
      phase,
      planOf(batchSize),
    ) as AppError;
    expect(error.message).toContain('Post the job again with a smaller model.inputSize');
    expect(error.errors).toBeUndefined();
  });

  it.each(['Invalid TF_Status: 3\nMessage: shapes differ', 'boom'])('is not seen in "%s"', (message) => {
    const error = new Error(message);
    expect(explainOutOfMemory(error, 'training', planOf(32))).toBe(error);
  });
});
