import { selectEngine } from '@headstart/engines';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { readBuild } from '../../../packages/engines/src/tensorflow/build.js';

const isLinked = readBuild() !== null;

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

  it('never falls back from an engine that was named', async () => {
    const starting = selectEngine('tensorflow', { trainsConvolutions: false });
    if (isLinked) expect((await starting).engine).toBe('tensorflow');
    else
      await expect(starting).rejects.toMatchObject({
        code: 'engine_unavailable',
        message: expect.stringContaining('Run scripts/link-tensorflow') as string,
        details: { engine: 'tensorflow' },
      });
  });

  it.each([false, true])(
    'takes, on auto, the fastest that is there (training convolutions: %s)',
    async (trainsConvolutions) => {
      const { engine } = await selectEngine('auto', { trainsConvolutions });
      expect(engine).toBe(isLinked ? 'tensorflow' : 'onnxruntime');
    },
  );
});
