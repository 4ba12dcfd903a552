import { selectEngine } from '@headstart/engines';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { readBuild } from '../../../packages/engines/src/tensorflow/build.js';
import { tensorflow } from '../../../packages/engines/src/tensorflow/index.js';
import { execFileAsync } from '../../../scripts/src/processes.js';

const build = readBuild();
const isLinked = build !== null;

const START_FOR_GPU = `
  import { readFileSync } from 'node:fs';
  import { tensorflow } from '${new URL('../../../packages/engines/dist/tensorflow/index.js', import.meta.url).href}';
  const said = await tensorflow.start({ needsGpu: true }).then(() => 'started', ({ message }) => message);
  console.log(said, 'loaded:', readFileSync('/proc/self/maps', 'utf8').includes('libtensorflow'));
`;

describe('selectEngine', () => {
  it.each(['onnxruntime', 'wasm'] as const)('starts %s where it is named', async (name) => {
    const runtime = await selectEngine(name, { trainsConvolutions: false });
    expect(runtime).toMatchObject({ engine: name, versions: { tfjs: tf.version_core } });
    expect(tf.getBackend()).toBe(name);
    expect([...tf.add([1, 2], [3, 4]).dataSync()]).toEqual([4, 6]);
  });

  it('refuses a plan that the engine cannot train, and says which can', async () => {
    await expect(selectEngine('wasm', { trainsConvolutions: true })).rejects.toMatchObject({
      code: 'engine_cannot_train',
      retryable: false,
      details: { engine: 'wasm', enginesThatCan: ['tensorflow', 'webgpu', 'onnxruntime'] },
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
    'takes, on auto, a GPU where there is one, and else the fastest on the CPU (training convolutions: %s)',
    async (trainsConvolutions) => {
      const expected = await tensorflow.start({ needsGpu: true }).then(
        () => 'tensorflow',
        () => 'onnxruntime',
      );
      const { engine } = await selectEngine('auto', { trainsConvolutions });
      expect(engine).toBe(expected);
      expect(tf.getBackend()).toBe(engine);
    },
  );

  it.skipIf(build === null || build.cuda !== null)(
    'does not even load a TensorFlow for the CPU to find that it has no GPU',
    async () => {
      const child = await execFileAsync(process.execPath, ['--input-type=module', '-e', START_FOR_GPU], {
        cwd: import.meta.dirname,
      });
      expect(child.stdout).toBe(
        `Its TensorFlow computes on no GPU here: it is TensorFlow ${build!.version} for the CPU. loaded: false\n`,
      );
    },
  );
});
