import { selectEngine } from '@headstart/engines';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readBuild } from '../../../packages/engines/src/tensorflow/build.js';

const isLinked = readBuild() !== null;

describe('on a machine that ONNX Runtime has no library for', () => {
  const real = Object.getOwnPropertyDescriptor(process, 'arch')!;
  // Packages look for their libraries by it, each once in the life of a process; tests have a process for each file.
  beforeAll(() => Object.defineProperty(process, 'arch', { ...real, value: 'riscv64' }));
  afterAll(() => Object.defineProperty(process, 'arch', real));

  it('refuses onnxruntime where it is named, and says what is missing', async () => {
    await expect(selectEngine('onnxruntime', { trainsConvolutions: true })).rejects.toMatchObject({
      code: 'engine_unavailable',
      message: expect.stringContaining('onnxruntime_binding.node') as string,
      details: { engine: 'onnxruntime' },
    });
  });

  it('takes, on auto, one that loads', async () => {
    const { engine } = await selectEngine('auto', { trainsConvolutions: false });
    expect(engine).toBe(isLinked ? 'tensorflow' : 'wasm');
    expect([...tf.add([1, 2], [3, 4]).dataSync()]).toEqual([4, 6]);
  });

  it.skipIf(isLinked)(
    'refuses, on auto, a plan that no engine can train, and says which plans go',
    async () => {
      await expect(selectEngine('auto', { trainsConvolutions: true })).rejects.toMatchObject({
        code: 'engine_unavailable',
        message: expect.stringContaining('takes plans that freeze every layer of the base') as string,
      });
    },
  );
});
