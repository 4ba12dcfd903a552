import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { JobRequest, type Plan } from '@headstart/contracts';
import { selectEngine } from '@headstart/engines';
import { buildNetwork, exportRun, loadBaseWeights, preprocess, type TrainedRun } from '@headstart/training';
import { resolvePlan } from '@headstart/training/plan';
import * as tf from '@tensorflow/tfjs-core';
import h5wasm from 'h5wasm/node';
import { beforeAll, describe, expect, it } from 'vitest';
import { BLOCK_1_TO_3_WEIGHTS, GOLDEN_FEATURES, sharedIsMissing } from '../../support/shared.js';
import { planFor, randomBase, temporaryFolder, trainDrawn } from '../../support/training.js';

const missing = sharedIsMissing();

beforeAll(async () => {
  await h5wasm.ready;
  await selectEngine('wasm', { trainsConvolutions: false });
});

function planUpTo(featureLayer: string, weights: string, inputSize = 32): Plan {
  const request = {
    datasetUri: 'file:///data/',
    scenario: 'small-different',
    model: { featureLayer, weights, inputSize },
  };
  return resolvePlan(JobRequest.parse(request), { classes: ['a', 'b'] });
}

const load = (plan: Plan, path: string) =>
  loadBaseWeights(plan, {
    fetchFile: () => Promise.resolve(path),
    imagenetFile: () => Promise.resolve(path),
  });

/** Writes block1's two convolutions as one of Keras's layouts does. */
async function writeH5(
  nameOf: (layer: string, part: 'kernel' | 'bias', index: number) => string,
  kernelShape = [3, 3, 3, 64],
): Promise<string> {
  const path = join(await temporaryFolder(), 'weights.h5');
  const file = new h5wasm.File(path, 'w');
  const shapes = { block1_conv1: kernelShape, block1_conv2: [3, 3, 64, 64] };
  Object.entries(shapes).forEach(([layer, shape], index) => {
    const write = (part: 'kernel' | 'bias', partShape: number[], value: number) => {
      const parts = nameOf(layer, part, index).split('/');
      let group: InstanceType<typeof h5wasm.Group> = file;
      for (const name of parts.slice(0, -1))
        group = (group.get(name) as typeof group | null) ?? group.create_group(name);
      const data = new Float32Array(partShape.reduce((a, b) => a * b)).fill(value);
      group.create_dataset({ name: parts.at(-1)!, data, shape: partShape, dtype: '<f4' });
    };
    write('kernel', shape, index + 1);
    write('bias', [64], index + 0.5);
  });
  file.close();
  return path;
}

describe('Keras .h5 files', () => {
  const layouts: Record<string, Parameters<typeof writeH5>[0]> = {
    'Keras 1': (layer, part) => `${layer}/${layer}_${part === 'kernel' ? 'W' : 'b'}_1:0`,
    'Keras 2, a second group inside': (layer, part) => `${layer}/${layer}/${part}:0`,
    'a whole model': (layer, part) => `model_weights/${layer}/${layer}/${part}:0`,
    'Keras 3 by layer': (layer, part) => `layers/${layer}/vars/${part === 'kernel' ? 0 : 1}`,
    'Keras 3 by class': (_, part, index) =>
      `layers/conv2d${index === 0 ? '' : `_${index}`}/vars/${part === 'kernel' ? 0 : 1}`,
  };
  it.each(Object.keys(layouts))('are read in the layout of %s', async (name) => {
    const { layers } = await load(planUpTo('block1_pool', 's3://bucket/w.h5'), await writeH5(layouts[name]!));
    expect(
      [...layers].map(([layer, { kernel, bias }]) => [layer, kernel.length, kernel[0], bias.length, bias[0]]),
    ).toEqual([
      ['block1_conv1', 1_728, 1, 64, 0.5],
      ['block1_conv2', 36_864, 2, 64, 1.5],
    ]);
  });

  it('that lack layers are refused naming them', async () => {
    const path = await writeH5(layouts['Keras 1']!);
    await expect(load(planUpTo('block2_pool', 's3://bucket/w.h5'), path)).rejects.toMatchObject({
      code: 'weights_invalid',
      details: { missingLayers: ['block2_conv1', 'block2_conv2'] },
    });
  });

  it('whose layers have other shapes are refused naming them', async () => {
    const path = await writeH5(layouts['Keras 1']!, [3, 3, 4, 64]);
    await expect(load(planUpTo('block1_pool', 's3://bucket/w.h5'), path)).rejects.toThrow(
      'block1_conv1 (kernel [3, 3, 4, 64], needed [3, 3, 3, 64])',
    );
  });

  it('that are none are refused', async () => {
    await expect(
      load(planUpTo('block1_pool', 's3://bucket/w.h5'), import.meta.filename),
    ).rejects.toMatchObject({
      code: 'weights_invalid',
    });
  });
});

describe('random weights', () => {
  it('follow the seed and fill the Glorot range', async () => {
    const plan = planFor({ scenario: 'small-different' });
    const [first, second] = [await randomBase(plan), await randomBase(plan)];
    expect(second.digest).toBe(first.digest);
    const { kernel, bias } = first.layers.get('block2_conv2')!;
    const limit = Math.sqrt(6 / (9 * 128 + 9 * 128));
    const largest = kernel.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    expect(largest).toBeLessThanOrEqual(limit);
    expect(largest).toBeGreaterThan(0.999 * limit);
    expect(Math.abs(kernel.reduce((sum, value) => sum + value, 0) / kernel.length)).toBeLessThan(limit / 100);
    expect(bias.every((value) => value === 0)).toBe(true);
    const other = await randomBase(planFor({ scenario: 'small-different', training: { seed: 1 } }));
    expect(other.digest).not.toBe(first.digest);
  });
});

describe('tfjs models', () => {
  it('give their convolutions to a later job', async () => {
    const plan = planFor({ scenario: 'small-different', model: { head: [] }, training: { epochs: 1 } });
    const run = await trainDrawn(plan);
    const folder = await temporaryFolder();
    await exportRun(run, folder);
    const uri = 'https://example.com/run/model/model.json';
    const next = planUpTo('block2_pool', uri);
    const fetched: string[] = [];
    const { layers, digest } = await loadBaseWeights(next, {
      fetchFile: (wanted) => {
        fetched.push(wanted);
        return Promise.resolve(join(folder, 'model', wanted.split('/').at(-1)!));
      },
      imagenetFile: () => Promise.reject(new Error('not asked for')),
    });
    expect(fetched).toEqual([uri, 'https://example.com/run/model/group1-shard1of1.bin']);
    expect(layers).toEqual((await randomBase(plan)).layers);
    expect(digest).toBe((await randomBase(plan)).digest);
    await expect(
      loadBaseWeights(planUpTo('block3_pool', uri), {
        fetchFile: (wanted) => Promise.resolve(join(folder, 'model', wanted.split('/').at(-1)!)),
        imagenetFile: () => Promise.reject(new Error('not asked for')),
      }),
    ).rejects.toMatchObject({
      code: 'weights_invalid',
      details: { missingLayers: ['block3_conv1', 'block3_conv2', 'block3_conv3', 'block3_conv4'] },
    });
  });

  it.each(['file:///etc/passwd', 's3://other/secret.bin', '//host/x', '../x.bin', '%2e%2e/x.bin'])(
    'are refused where model.json leads outside its folder, to %s',
    async (path) => {
      const file = join(await temporaryFolder(), 'model.json');
      await writeFile(file, JSON.stringify({ weightsManifest: [{ paths: [path], weights: [] }] }));
      const fetched: string[] = [];
      const uri = 's3://bucket/run/model.json';
      const loading = loadBaseWeights(planUpTo('block1_pool', uri), {
        fetchFile: (wanted) => {
          fetched.push(wanted);
          return Promise.resolve(file);
        },
        imagenetFile: () => Promise.reject(new Error('not asked for')),
      });
      await expect(loading).rejects.toMatchObject({ code: 'weights_invalid' });
      expect(fetched).toEqual([uri]);
    },
  );

  it('are found in a bucket whatever their folder is called', async () => {
    const uri = 's3://bucket/my runs/50 % of é/model.json';
    const file = join(await temporaryFolder(), 'model.json');
    await writeFile(file, JSON.stringify({ weightsManifest: [{ paths: ['a b.bin'], weights: [] }] }));
    const fetched: string[] = [];
    const loading = loadBaseWeights(planUpTo('block1_pool', uri), {
      fetchFile: (wanted) => {
        fetched.push(wanted);
        return Promise.resolve(file);
      },
      imagenetFile: () => Promise.reject(new Error('not asked for')),
    });
    await expect(loading).rejects.toMatchObject({
      details: { missingLayers: ['block1_conv1', 'block1_conv2'] },
    });
    expect(fetched).toEqual([uri, 's3://bucket/my runs/50 % of é/a b.bin']);
  });

  it.each([
    [[{}], 'weightsManifest.0.paths'],
    [[{ paths: 'x.bin', weights: [] }], 'weightsManifest.0.paths'],
    [[{ paths: [], weights: [{ name: 'a/kernel', dtype: 'float32' }] }], 'weightsManifest.0.weights.0.shape'],
    [
      [{ paths: [], weights: [{ name: 'a/kernel', shape: [-1], dtype: 'float32' }] }],
      'weightsManifest.0.weights.0.shape.0',
    ],
  ])('of another shape are refused: %j', async (weightsManifest, field) => {
    const file = join(await temporaryFolder(), 'model.json');
    await writeFile(file, JSON.stringify({ weightsManifest }));
    const loading = load(planUpTo('block1_pool', 's3://bucket/model.json'), file);
    await expect(loading).rejects.toMatchObject({
      code: 'weights_invalid',
      message: expect.stringContaining(field) as string,
    });
  });

  it('that are none are refused', async () => {
    await expect(
      load(planUpTo('block1_pool', 's3://bucket/model.json'), import.meta.filename),
    ).rejects.toMatchObject({ code: 'weights_invalid' });
  });
});

describe.skipIf(missing)('genuine ImageNet weights', () => {
  it.each(['block2_pool', 'block3_pool'])(
    'give the features another framework computes, at %s',
    async (featureLayer) => {
      const plan = planUpTo(featureLayer, 's3://bucket/w.h5', 224);
      const network = buildNetwork(plan, await load(plan, BLOCK_1_TO_3_WEIGHTS));
      const golden = new h5wasm.File(GOLDEN_FEATURES, 'r');
      const bytes = (golden.get('images_rgb_u8') as InstanceType<typeof h5wasm.Dataset>).value as Uint8Array;
      const { shape, value } = golden.get(featureLayer) as InstanceType<typeof h5wasm.Dataset>;
      const expected = value as Float32Array;
      const pixels = 224 * 224 * 3;
      const pictures = Array.from({ length: shape![0]! }, (_, i) =>
        Float32Array.from(bytes.subarray(i * pixels, (i + 1) * pixels)),
      );
      const features = tf
        .tidy(() =>
          network.apply(
            preprocess(pictures, 224),
            0,
            plan.layers.findIndex(({ name }) => name === featureLayer) + 1,
          ),
        )
        .dataSync();
      expect(features).toHaveLength(expected.length);
      let [difference, largest] = [0, 0];
      expected.forEach((want, i) => {
        difference = Math.max(difference, Math.abs(want - features[i]!));
        largest = Math.max(largest, Math.abs(want));
      });
      expect(difference / largest).toBeLessThanOrEqual(1e-4);
      network.dispose();
      golden.close();
    },
  );

  it('lack block4 and block5, and say so', async () => {
    await expect(
      load(planUpTo('block4_conv2', 's3://bucket/w.h5'), BLOCK_1_TO_3_WEIGHTS),
    ).rejects.toMatchObject({
      details: { missingLayers: ['block4_conv1', 'block4_conv2'] },
    });
  });
});

describe('exportRun', () => {
  it('leaves a model that plain tfjs opens, and every metric', async () => {
    const run: TrainedRun = await trainDrawn(
      planFor({
        scenario: 'small-different',
        model: { featureLayer: 'block1_pool' },
        training: { epochs: 2 },
      }),
    );
    const folder = await temporaryFolder();
    const files = await exportRun(run, folder);
    expect(files).toEqual([
      'model/model.json',
      'model/group1-shard1of1.bin',
      'labels.json',
      'metrics.jsonl',
      'metrics.csv',
      'confusion-matrix.json',
      'predictions.jsonl',
      'curves.svg',
      'model/model.h5',
    ]);
    const read = (name: string) => readFile(join(folder, name), 'utf8');
    expect(
      (await read('metrics.jsonl'))
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual(run.metrics);
    expect((await read('metrics.csv')).split('\n')[0]).toBe(
      'epoch,stage,loss,accuracy,valLoss,valAccuracy,learningRate,seconds,picturesPerSecond',
    );
    expect(JSON.parse(await read('labels.json'))).toMatchObject({
      classes: ['dark', 'light'],
      input: { shape: [32, 32, 3] },
    });
    const predictions = (await read('predictions.jsonl'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { class: string; predicted: string });
    expect(predictions).toHaveLength(6);
    const { accuracy } = JSON.parse(await read('confusion-matrix.json')) as { accuracy: number };
    expect(accuracy).toBeCloseTo(run.metrics.at(-1)!.valAccuracy, 6);
  });
});
