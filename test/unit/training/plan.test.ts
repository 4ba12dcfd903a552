import type { AppError } from '@headstart/contracts';
import { JobRequest, type JobRequestInput } from '@headstart/contracts';
import { resolvePlan } from '@headstart/training/plan';
import { describe, expect, it } from 'vitest';

const CLASSES = ['ants', 'bees'];

function plan(
  request: Omit<JobRequestInput, 'datasetUri'>,
  classes: string[] | null = CLASSES,
  jobModelUri?: string,
) {
  const parsed = JobRequest.parse({ datasetUri: 's3://bucket/flowers/', ...request });
  return resolvePlan(parsed, { classes, ...(jobModelUri && { jobModelUri }) });
}

function refusal(request: Omit<JobRequestInput, 'datasetUri'>): AppError {
  try {
    plan(request);
  } catch (error) {
    return error as AppError;
  }
  throw new Error('The request was not refused.');
}

/** From the table of Keras's layers: what `model.layers[:N]` leaves to train of the base without its top. */
const CONVOLUTION_PARAMETERS: Record<number, number> = {
  1: 1_792,
  2: 36_928,
  4: 73_856,
  5: 147_584,
  7: 295_168,
  8: 590_080,
  9: 590_080,
  10: 590_080,
  12: 1_180_160,
  13: 2_359_808,
  14: 2_359_808,
  15: 2_359_808,
  17: 2_359_808,
  18: 2_359_808,
  19: 2_359_808,
  20: 2_359_808,
};
const BASE_PARAMETERS = 20_024_384;
const HEAD_PARAMETERS = (512 + 1) * 256 + (256 + 1) * 2;

describe('freezeLayers', () => {
  it.each(Array.from({ length: 21 }, (_, n) => n))('%i freezes what model.layers[:N] does', (n) => {
    const frozen = Object.entries(CONVOLUTION_PARAMETERS).reduce(
      (sum, [index, count]) => (Number(index) < n ? sum + count : sum),
      0,
    );
    const { parameters } = plan({ scenario: 'large-similar', freezeLayers: n });
    expect(parameters).toEqual({
      total: BASE_PARAMETERS + HEAD_PARAMETERS,
      trained: BASE_PARAMETERS - frozen + HEAD_PARAMETERS,
      frozen,
    });
  });

  it("covers three convolutions with 5, as the tutorial's model.layers[:5]", () => {
    const { layers } = plan({ scenario: 'large-similar', freezeLayers: 5 });
    const frozen = layers
      .filter(({ type, trained }) => type === 'Conv2D' && !trained)
      .map(({ name }) => name);
    expect(frozen).toEqual(['block1_conv1', 'block1_conv2', 'block2_conv1']);
  });

  it('takes a name, up to and including it', () => {
    const { layers } = plan({ scenario: 'large-similar', freezeLayers: 'block4_pool' });
    const trained = layers.filter((layer) => layer.trained).map(({ name }) => name);
    expect(trained).toEqual([
      'block5_conv1',
      'block5_conv2',
      'block5_conv3',
      'block5_conv4',
      'head_dense_1',
      'predictions',
    ]);
  });

  it('takes a list of names, and those alone', () => {
    const { layers } = plan({ scenario: 'large-similar', freezeLayers: ['block1_conv1', 'block3_conv2'] });
    const frozen = layers
      .filter(({ type, trained }) => type === 'Conv2D' && !trained)
      .map(({ name }) => name);
    expect(frozen).toEqual(['block1_conv1', 'block3_conv2']);
  });

  it.each<JobRequestInput['freezeLayers']>(['block6_conv1', ['block1_conv1', 'block6_conv1']])(
    'answers an unknown name with the valid ones: %j',
    (freezeLayers) => {
      const error = refusal({ scenario: 'large-similar', freezeLayers });
      expect(error.code).toBe('unknown_layer');
      expect(error.errors).toMatchObject([{ field: 'freezeLayers', received: 'block6_conv1' }]);
      expect(error.errors![0]!.allowed).toContain('block5_conv4');
    },
  );

  it('answers a number beyond the layers with the range', () => {
    expect(refusal({ scenario: 'large-similar', freezeLayers: 23 })).toMatchObject({
      code: 'unknown_layer',
      errors: [{ allowed: '0 to 22', received: 23 }],
    });
  });

  it.each<[JobRequestInput['scenario'], JobRequestInput['freezeLayers']]>([
    ['small-similar', 'none'],
    ['small-similar', 5],
    ['small-different', 'block1_pool'],
    ['large-similar', 'all'],
    ['large-similar', 22],
    ['large-different', 'all'],
    ['large-different', 'block1_conv1'],
  ])('is refused where it contradicts the scenario: %s, %j', (scenario, freezeLayers) => {
    const error = refusal({ scenario, freezeLayers });
    expect(error).toMatchObject({
      code: 'freeze_conflict',
      errors: [{ field: 'freezeLayers', received: freezeLayers }],
    });
    expect(error.message).toContain(scenario);
  });

  it.each<[JobRequestInput['scenario'], JobRequestInput['freezeLayers']]>([
    ['small-similar', 'all'],
    ['small-similar', 'block5_conv4'],
    ['small-different', 'block2_pool'],
    ['large-different', 'none'],
    ['large-different', 1],
  ])('is taken where it says what the scenario does anyway: %s, %j', (scenario, freezeLayers) => {
    expect(plan({ scenario, freezeLayers }).layers).toEqual(plan({ scenario }).layers);
  });
});

describe('scenarios', () => {
  const adam = { type: 'adam' };
  const sgd = { type: 'sgd', momentum: 0.9, nesterov: false };

  it('small-similar trains a linear classifier on the flattened CNN codes', () => {
    const { layers, stages, parameters } = plan({ scenario: 'small-similar' });
    expect(layers.slice(-3).map(({ name, outputShape }) => [name, outputShape])).toEqual([
      ['head_flatten', [25_088]],
      ['head_rescaling', [25_088]],
      ['predictions', [2]],
    ]);
    expect(stages).toMatchObject([
      { name: 'head', optimizer: adam, learningRate: 1e-3, trainedLayers: ['predictions'], cachedLayers: 23 },
    ]);
    expect(parameters).toEqual({ total: BASE_PARAMETERS + 50_178, trained: 50_178, frozen: BASE_PARAMETERS });
  });

  it('large-similar trains the head first, then everything not frozen', () => {
    const { stages, layers } = plan({ scenario: 'large-similar', freezeLayers: 'block3_pool' });
    expect(layers.slice(-5).map(({ type }) => type)).toEqual([
      'GlobalAveragePooling2D',
      'Rescaling',
      'Dense',
      'Dropout',
      'Dense',
    ]);
    expect(stages).toMatchObject([
      {
        name: 'head',
        epochs: 3,
        optimizer: adam,
        learningRate: 1e-3,
        trainedLayers: ['head_dense_1', 'predictions'],
        cachedLayers: 23,
      },
      { name: 'fine-tune', epochs: 7, optimizer: sgd, learningRate: 1e-4, cachedLayers: 12 },
    ]);
    expect(stages[1]!.trainedLayers).toHaveLength(8 + 2);
  });

  it('small-different cuts the base at block2_pool, or where it is told to', () => {
    const { layers, stages } = plan({ scenario: 'small-different' });
    expect(layers[6]).toMatchObject({ name: 'block2_pool', outputShape: [56, 56, 128] });
    expect(layers[7]).toMatchObject({ name: 'head_avg_pool', outputShape: [128] });
    expect(stages).toMatchObject([
      { name: 'head', epochs: 30, optimizer: adam, learningRate: 1e-3, cachedLayers: 8 },
    ]);
    expect(
      plan({ scenario: 'small-different', model: { featureLayer: 'block3_pool' } }).layers[12],
    ).toMatchObject({ outputShape: [256] });
  });

  it('large-different trains everything, from pretrained weights as large-similar and from random ones with Adam 1e-4', () => {
    expect(plan({ scenario: 'large-different' }).stages).toMatchObject([
      { name: 'head', optimizer: adam },
      { name: 'fine-tune', optimizer: sgd, learningRate: 1e-4, cachedLayers: 0 },
    ]);
    const fromRandom = plan({ scenario: 'large-different', model: { weights: 'random' } });
    expect(fromRandom.stages).toMatchObject([
      { name: 'full', epochs: 10, optimizer: adam, learningRate: 1e-4, cachedLayers: 0 },
    ]);
    expect(fromRandom.stages[0]!.trainedLayers).toHaveLength(18);
    expect(fromRandom.notes).toEqual([]);
  });

  it('says so where random weights stay frozen', () => {
    expect(plan({ scenario: 'small-different', model: { weights: 'random' } }).notes[0]).toMatch(
      /^4 convolutions stay frozen at random weights/,
    );
  });

  it.each<JobRequestInput['scenario']>(['small-similar', 'large-similar', 'large-different'])(
    '%s uses the whole base',
    (scenario) => {
      expect(refusal({ scenario, model: { featureLayer: 'block3_pool' } })).toMatchObject({
        code: 'invalid_request',
        errors: [{ field: 'model.featureLayer', allowed: ['block5_pool'] }],
      });
    },
  );

  it('answers an unknown feature layer with the valid ones', () => {
    expect(refusal({ scenario: 'small-different', model: { featureLayer: 'block9_pool' } })).toMatchObject({
      code: 'unknown_layer',
      errors: [{ field: 'model.featureLayer' }],
    });
  });
});

describe('stages', () => {
  it.each(['shift', 'zoom', 'rotation', 'brightness'])(
    'cache nothing under %s: every epoch sees new pictures, and the plan says so',
    (change) => {
      const augmentation = { flip: true, [change]: 0.1 };
      const { stages, notes } = plan({ scenario: 'small-different', training: { augmentation } });
      expect(stages[0]!.cachedLayers).toBe(0);
      expect(notes).toEqual([
        `The stage "head" runs its frozen layers on every picture in every epoch: the feature cache is off, as training.augmentation changes pictures by ${change}. Flips alone leave it on.`,
      ]);
    },
  );

  it('cache both orientations where pictures are flipped and no more, and the plan says so', () => {
    const { stages, notes } = plan({
      scenario: 'small-different',
      training: { augmentation: { flip: true } },
    });
    expect(stages[0]!.cachedLayers).toBe(8);
    expect(notes).toEqual([
      'Pictures are flipped: the feature cache keeps each training picture and its mirror image.',
    ]);
    const none = plan({ scenario: 'small-different', training: { augmentation: {} } });
    expect(none.stages[0]!.cachedLayers).toBe(8);
    expect(none.notes).toEqual([]);
  });

  it('say nothing of a cache where nothing is frozen', () => {
    const { notes } = plan({
      scenario: 'large-different',
      training: { headEpochs: 0, augmentation: { shift: 0.1 } },
    });
    expect(notes).toEqual([]);
  });

  it('cache no output that is far larger than the picture', () => {
    const { stages } = plan({ scenario: 'large-similar', freezeLayers: 'block1_pool' });
    expect(stages[1]!.cachedLayers).toBe(0); // 112 x 112 x 64 float32 is 3.2 MB
    expect(plan({ scenario: 'large-similar', freezeLayers: 'block3_conv1' }).stages[1]!.cachedLayers).toBe(7);
  });

  it('split the epochs as headEpochs says', () => {
    const { stages, training } = plan({ scenario: 'large-similar', training: { epochs: 6, headEpochs: 1 } });
    expect(stages.map(({ name, epochs }) => [name, epochs])).toEqual([
      ['head', 1],
      ['fine-tune', 5],
    ]);
    expect(training.epochs).toBe(6);
    expect(plan({ scenario: 'large-similar', training: { headEpochs: 0 } }).stages).toMatchObject([
      { name: 'full', epochs: 10 },
    ]);
  });

  it('refuse headEpochs that leave nothing, or that the scenario has no use for', () => {
    expect(refusal({ scenario: 'large-similar', training: { epochs: 3, headEpochs: 3 } })).toMatchObject({
      code: 'invalid_request',
      errors: [{ field: 'training.headEpochs', allowed: '0 to 2' }],
    });
    expect(refusal({ scenario: 'small-similar', training: { headEpochs: 1 } })).toMatchObject({
      errors: [{ field: 'training.headEpochs' }],
    });
  });

  it("give the request's optimizer, rate and schedule to the last stage alone", () => {
    const training = { optimizer: { type: 'rmsprop' }, schedule: { type: 'step' } } as const;
    const { stages } = plan({ scenario: 'large-similar', training });
    expect(stages[0]).toMatchObject({
      optimizer: adam(),
      learningRate: 1e-3,
      schedule: { type: 'constant' },
    });
    expect(stages[1]).toMatchObject({
      optimizer: { type: 'rmsprop' },
      learningRate: 1e-3,
      schedule: { type: 'step', everyEpochs: 10, factor: 0.1 },
    });
  });
});

function adam() {
  return { type: 'adam' };
}

describe('classes and weights', () => {
  it('leave what depends on the classes open until they are known', () => {
    const { layers, parameters, classes } = plan({ scenario: 'small-different' }, null);
    expect(classes).toBeNull();
    expect(layers.at(-1)).toMatchObject({ outputShape: [null], parameters: null });
    expect(parameters).toMatchObject({ total: null, trained: null, frozen: 260_160 });
  });

  it('refuse weights for a class that is not there', () => {
    expect(refusal({ scenario: 'small-similar', training: { classWeights: { wasps: 2 } } })).toMatchObject({
      errors: [{ field: 'training.classWeights.wasps' }],
    });
  });

  it('tell the sources of weights apart', () => {
    const weights = (name: string, jobModelUri?: string) =>
      plan({ scenario: 'small-similar', model: { weights: name } }, CLASSES, jobModelUri).weights;
    expect(plan({ scenario: 'small-similar' }).weights).toEqual({ source: 'imagenet' });
    expect(weights('s3://bucket/w.h5')).toEqual({ source: 'h5', uri: 's3://bucket/w.h5' });
    expect(weights('s3://bucket/model.json')).toEqual({ source: 'tfjs', uri: 's3://bucket/model.json' });
    expect(weights('job:abc', 's3://bucket/abc/model/model.json')).toEqual({
      source: 'tfjs',
      uri: 's3://bucket/abc/model/model.json',
      jobId: 'abc',
    });
  });
});
