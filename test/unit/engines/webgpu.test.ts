import { isOutOfMemory, selectEngine } from '@headstart/engines';
import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { openGpu } from '../../../packages/engines/src/webgpu/dawn.js';
import { startEngine } from '../../support/engines.js';
import { WEBGPU, webgpuFailure } from '../../support/webgpu.js';

const backend = () => tf.backend() as WebGPUBackend;

/** A program that WebGPU refuses to compile. */
function runBrokenProgram(): tf.TensorInfo {
  return backend().runWebGPUProgram(
    {
      shaderKey: 'broken',
      outputShape: [4],
      variableNames: [],
      workgroupSize: [1, 1, 1],
      dispatchLayout: { x: [0] },
      dispatch: [4, 1, 1],
      getUserCode: () => 'fn main(index : i32) { result[index] = nonsense; }',
    },
    [],
    'float32',
  );
}

describe.skipIf(webgpuFailure !== null)('webgpu', () => {
  beforeEach(() => startEngine(WEBGPU));

  it('says what it runs on', async () => {
    const runtime = await selectEngine('webgpu', { trainsConvolutions: true });
    expect(runtime).toMatchObject({ engine: 'webgpu', versions: { tfjs: tf.version_core } });
    expect(runtime.device).toMatch(/\w/);
    expect(runtime.versions['driver']).toMatch(/\w/);
  });

  it('refuses, where a GPU is wanted, one that the CPU emulates', async () => {
    const { info } = await openGpu(true);
    const starting = openGpu(false);
    if (info.isFallbackAdapter)
      await expect(starting).rejects.toMatchObject({
        code: 'engine_unavailable',
        message: expect.stringContaining(info.device) as string,
      });
    else expect((await starting).info.device).toBe(info.device);
  });

  it('says that a tensor is too large for the device in a way that is understood', () => {
    const { maxStorageBufferBindingSize } = backend().device.limits;
    let error: unknown;
    try {
      tf.tidy(() => tf.relu(tf.fill([maxStorageBufferBindingSize / 4 + 1], 1)));
    } catch (failure) {
      error = failure;
    }
    expect(isOutOfMemory(error)).toBe(true);
  });

  it('fails reads behind a call that WebGPU refused, instead of reading zeros', async () => {
    const sound = tf.tensor1d([1, 2]);
    const [doubled, later] = [tf.add(sound, sound), tf.mul(sound, 3)];
    runBrokenProgram();
    await expect(doubled.data()).rejects.toMatchObject({
      code: 'internal_error',
      retryable: false,
      message: expect.stringContaining('nonsense') as string,
    });
    await expect(later.data()).rejects.toThrow('nonsense');
  });

  it('says that the GPU was lost, and opens it anew at the next start', async () => {
    const lost = tf.relu(tf.fill([100_000], 2));
    backend().device.destroy();
    await expect(lost.data()).rejects.toMatchObject({ code: 'trainer_crashed', retryable: true });
    await startEngine(WEBGPU);
    expect(await tf.relu(tf.fill([100_000], 2)).data()).toEqual(new Float32Array(100_000).fill(2));
  });

  it('keeps a tensor until it has been read', async () => {
    const tensor = tf.relu(tf.fill([100_000], 2));
    const { numTensors } = tf.memory();
    const reading = tensor.data();
    tensor.dispose();
    expect((await reading)[99_999]).toBe(2);
    expect(tf.memory()).toMatchObject({ numTensors: numTensors - 1 });
  });
});
