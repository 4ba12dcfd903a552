import { createRequire } from 'node:module';
import { selectEngine } from '@headstart/engines';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';

function hasTensorflow(): boolean {
  try {
    createRequire(import.meta.url).resolve('@tensorflow/tfjs-node-gpu');
    return true;
  } catch {
    return false;
  }
}
const tensorflowIsThere = hasTensorflow();

describe('selectEngine', () => {
  it.each(['onnxruntime', 'wasm', 'cpu'] as const)('starts %s where it is named', async (name) => {
    const runtime = await selectEngine(name, { trainsConvolutions: false });
    expect(runtime).toMatchObject({ engine: name, versions: { tfjs: tf.version_core } });
    expect(tf.getBackend()).toBe(name);
    expect([...tf.add([1, 2], [3, 4]).dataSync()]).toEqual([4, 6]);
  });

  it('refuses a plan that the engine cannot train, and says which can', async () => {
    await expect(selectEngine('wasm', { trainsConvolutions: true })).rejects.toMatchObject({
      code: 'engine_cannot_train',
      retryable: false,
      details: { engine: 'wasm', enginesThatCan: ['tensorflow', 'onnxruntime', 'cpu'] },
    });
  });

  it.skipIf(tensorflowIsThere)('never falls back from an engine that was named', async () => {
    await expect(selectEngine('tensorflow', { trainsConvolutions: false })).rejects.toMatchObject({
      code: 'engine_unavailable',
      details: { engine: 'tensorflow' },
    });
  });

  it.skipIf(tensorflowIsThere)('takes, on auto, the fastest that loads', async () => {
    expect((await selectEngine('auto', { trainsConvolutions: false })).engine).toBe('onnxruntime');
    expect((await selectEngine('auto', { trainsConvolutions: true })).engine).toBe('onnxruntime');
  });
});
