import { readdirSync, readFileSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AppError, type FeatureUse } from '@headstart/contracts';
import { prefixCompilerOf, selectEngine } from '@headstart/engines';
import type { TrainedRun, TrainOptions } from '@headstart/training';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  cacheAt,
  drawnPicture,
  picturesOf,
  planFor,
  temporaryFolder,
  trainDrawn,
  weightsOf,
} from '../../support/training.js';

const small = (training = {}, model = {}) =>
  planFor({
    scenario: 'small-different',
    model: { featureLayer: 'block1_pool', head: [{ units: 4 }], ...model },
    training: { epochs: 2, batchSize: 5, ...training },
  });

let directory: string;
beforeAll(async () => {
  await selectEngine('wasm', { trainsConvolutions: false });
});
beforeEach(async () => {
  directory = await temporaryFolder();
});

interface Measured {
  run: TrainedRun;
  use: FeatureUse;
  /** Pictures that were decoded. */
  decoded: number;
  warnings: string[];
}

async function measured(plan = small(), options: Partial<TrainOptions> = {}): Promise<Measured> {
  const uses: FeatureUse[] = [];
  const warnings: string[] = [];
  let decoded = 0;
  const run = await trainDrawn(plan, {
    featureCache: cacheAt(directory, { warn: (message) => warnings.push(message) }),
    loadPicture: (picture) => {
      decoded++;
      return drawnPicture(picture);
    },
    onFeatures: (use) => uses.push(use),
    ...options,
  });
  expect(uses).toHaveLength(1);
  return { run, use: uses[0]!, decoded, warnings };
}

/** Paths of all that the cache has. */
const cached = () =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

describe('a second run', () => {
  it('computes and decodes nothing, and ends with the very same weights', async () => {
    const first = await measured();
    expect(first.use).toEqual({ stage: 'head', cachedLayers: 5, hits: 0, misses: 18 });
    expect(first.decoded).toBe(18);
    const second = await measured();
    expect(second.use).toEqual({ stage: 'head', cachedLayers: 5, hits: 18, misses: 0 });
    expect(second.decoded).toBe(0);
    expect(weightsOf(second.run)).toEqual(weightsOf(first.run));
    expect(second.warnings).toEqual([]);
  });

  it('computes only what is new', async () => {
    await measured(small(), { dataset: { train: picturesOf(8), val: picturesOf(4) } });
    const { use, decoded } = await measured();
    expect(use).toMatchObject({ hits: 8, misses: 10 });
    expect(decoded).toBe(10);
  });

  it.each([
    ['weights', small({ seed: 7 })],
    ['input size', small({}, { inputSize: 33 })],
    ['cut', small({}, { featureLayer: 'block1_conv1' })],
    ['pooling', small({}, { pooling: 'max' })],
    ['precision', small({ featurePrecision: 'float16' })],
  ])('of other %s finds nothing', async (_, plan) => {
    await measured();
    const loadPicture: TrainOptions['loadPicture'] = async (picture) => {
      const size = plan.inputSize;
      const rgb = await drawnPicture(picture);
      return size === 32 ? rgb : new Float32Array(size * size * 3).fill(rgb[0]!);
    };
    const { use } = await measured(plan, { loadPicture });
    expect(use).toMatchObject({ hits: 0 });
  });

  it('of another engine, or another way to decode, finds nothing', async () => {
    await measured();
    for (const change of [{ engine: 'other' }, { decoding: 'other' }]) {
      const computedBy = { engine: 'test', decoding: 'test', ...change };
      const { use } = await measured(small(), { featureCache: cacheAt(directory, { computedBy }) });
      expect(use).toMatchObject({ hits: 0, misses: 18 });
    }
  });
});

describe('what is on the disk', () => {
  it.each([
    ['a flipped bit in a row', 0.3],
    ['a flipped bit in the index', 'index'],
    ['a flipped bit in the footer', 'footer'],
    ['a file cut short', 'cut'],
    ['an empty file', 'empty'],
  ])('is not believed with %s: it is computed anew, and said', async (_, damage) => {
    const first = await measured();
    const [path] = cached() as [string];
    const bytes = readFileSync(path);
    if (damage === 'cut') truncateSync(path, bytes.length - 1);
    else if (damage === 'empty') truncateSync(path, 0);
    else {
      const at =
        damage === 'index'
          ? bytes.length - 16 - 40
          : damage === 'footer'
            ? bytes.length - 8
            : Math.floor(bytes.length * Number(damage));
      bytes[at]! ^= 4;
      writeFileSync(path, bytes);
    }
    const second = await measured();
    expect(second.use).toMatchObject({ hits: 0, misses: 18 });
    expect(second.warnings).toEqual(['features on the disk were damaged; they are computed anew']);
    expect(weightsOf(second.run)).toEqual(weightsOf(first.run));
    const third = await measured();
    expect(third.use).toMatchObject({ hits: 18, misses: 0 });
    expect(third.warnings).toEqual([]);
  });

  it('of a run that was stopped is not lost', async () => {
    const stop = new AbortController();
    const pictures = picturesOf(40);
    const dataset = { train: pictures.slice(0, 30), val: pictures.slice(30) };
    await expect(
      measured(small(), {
        dataset,
        signal: stop.signal,
        // In the third batch.
        loadPicture: (picture) => {
          if (picture.path === '16.png') stop.abort(new AppError('canceled', 'The job was canceled.'));
          return drawnPicture(picture);
        },
      }),
    ).rejects.toMatchObject({ code: 'canceled' });
    const { use, decoded } = await measured(small(), { dataset });
    expect(use.hits).toBeGreaterThanOrEqual(8);
    expect(decoded).toBe(use.misses);
  });

  it('is whole or not there: a file that was not finished is passed over, and removed when it is old', async () => {
    await measured();
    const [path] = cached() as [string];
    const partial = join(path, '..', '00000000-0000-4000-8000-000000000000.part');
    writeFileSync(partial, readFileSync(path).subarray(0, 1000));
    const { use } = await measured(small({}, { featureLayer: 'block1_conv1' }));
    expect(use.misses).toBe(18);
    expect(cached()).toContain(partial);
    const longAgo = new Date(Date.now() - 2 * 60 * 60 * 1000);
    utimesSync(partial, longAgo, longAgo);
    await measured(small({}, { featureLayer: 'block1_conv2' }));
    expect(cached()).not.toContain(partial);
  });

  it('stays within its bound: what was used last is kept', async () => {
    const plans = [1, 2, 3].map((seed) => small({ seed }));
    await measured(plans[0]);
    const [first] = cached() as [string];
    const { size } = statSync(first);
    const past = (seconds: number) => new Date(Date.now() - seconds * 1000);
    utimesSync(first, past(20), past(20));
    await measured(plans[1]);
    const second = cached().find((path) => path !== first)!;
    utimesSync(second, past(10), past(10));
    // The first one is used again, so the second one goes when there is a third.
    await measured(plans[0]);
    const featureCache = cacheAt(directory, { maxBytes: 2.5 * size });
    await measured(plans[2], { featureCache });
    expect(cached()).toHaveLength(2);
    expect(cached()).toContain(first);
    expect(cached()).not.toContain(second);
  });

  it('is gone behind a run where nothing may be kept', async () => {
    const whole = await measured();
    const featureCache = cacheAt(await temporaryFolder(), { maxBytes: 0 });
    const { run, use } = await measured(small(), { featureCache });
    expect(use.misses).toBe(18);
    expect(readdirSync(featureCache.directory)).toEqual([]);
    expect(weightsOf(run)).toEqual(weightsOf(whole.run));
  });

  it('is shared by runs at the same time', async () => {
    const runs = await Promise.all([1, 2, 3, 4].map(() => measured()));
    for (const { run } of runs) expect(weightsOf(run)).toEqual(weightsOf(runs[0]!.run));
    expect(await measured()).toMatchObject({ use: { hits: 18 }, warnings: [] });
  });
});

describe('flips', () => {
  const flips = small({ epochs: 3, augmentation: { flip: true } });

  it('are cached in both orientations, and drawn anew in every epoch', async () => {
    const { use, decoded } = await measured(flips);
    expect(use).toMatchObject({ hits: 0, misses: 2 * 12 + 6 });
    expect(decoded).toBe(18);
    const again = await measured(flips);
    expect(again.use).toMatchObject({ hits: 30, misses: 0 });
  });

  it('are mirror images: a run that flips all trains as one on mirrored files', async () => {
    const val = picturesOf(18).slice(12);
    const dataset = { train: picturesOf(12), val };
    const flipped = await measured(flips, { dataset, drawFlip: () => true });
    // The features' scale is measured on pictures as they are.
    const plain = await measured(flips, { dataset, drawFlip: () => false });
    expect(weightsOf(flipped.run)).not.toEqual(weightsOf(plain.run));
    const mirrored = await measured(flips, {
      dataset,
      featureCache: cacheAt(await temporaryFolder()),
      drawFlip: () => true,
      loadPicture: (picture) => drawnPicture(picture).then(symmetric),
    });
    const same = await measured(flips, {
      dataset,
      featureCache: cacheAt(await temporaryFolder()),
      drawFlip: () => false,
      loadPicture: (picture) => drawnPicture(picture).then(symmetric),
    });
    expect(weightsOf(mirrored.run)).toEqual(weightsOf(same.run));
  });
});

/** The left half, and its mirror image on the right. */
function symmetric(rgb: Float32Array): Float32Array {
  const picture = rgb.slice();
  for (let y = 0; y < 32; y++)
    for (let x = 0; x < 16; x++)
      for (let c = 0; c < 3; c++) picture[(y * 32 + 31 - x) * 3 + c] = rgb[(y * 32 + x) * 3 + c]!;
  return picture;
}

describe('features of two stages', () => {
  beforeAll(() => selectEngine('onnxruntime', { trainsConvolutions: true }));

  it.each([
    ['compiled', prefixCompilerOf('onnxruntime')],
    ['layer by layer', undefined],
  ])(
    'come from one pass over the pictures, %s, and are those of a pass for each',
    async (_, compilePrefix) => {
      const plan = planFor({
        scenario: 'large-similar',
        freezeLayers: 'block4_pool',
        training: { epochs: 2, headEpochs: 1, batchSize: 5 },
      });
      /** On a cache of its own, which has the features of the head's stage or nothing. */
      const runOn = async (isHeadCached: boolean) => {
        const uses: FeatureUse[] = [];
        const featureCache = cacheAt(await temporaryFolder());
        if (isHeadCached)
          await trainDrawn(
            planFor({
              scenario: 'small-similar',
              model: { pooling: 'avg' },
              training: { epochs: 1 },
            }),
            { featureCache, compilePrefix },
          );
        let decoded = 0;
        const run = await trainDrawn(plan, {
          featureCache,
          compilePrefix,
          loadPicture: (picture) => {
            decoded++;
            return drawnPicture(picture);
          },
          onFeatures: (use) => uses.push(use),
        });
        expect(decoded).toBe(18);
        return { run, uses };
      };
      const together = await runOn(false);
      expect(together.uses).toMatchObject([
        { stage: 'head', hits: 0, misses: 18 },
        { stage: 'fine-tune', hits: 18, misses: 0 },
      ]);
      const apart = await runOn(true);
      expect(apart.uses).toMatchObject([
        { stage: 'head', hits: 18, misses: 0 },
        { stage: 'fine-tune', hits: 0, misses: 18 },
      ]);
      expect(weightsOf(together.run)).toEqual(weightsOf(apart.run));
    },
    120_000,
  );
});
