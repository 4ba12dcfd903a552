import type { JobRequestInput } from '@headstart/contracts';

/** Bodies of POST /jobs for openapi.yaml; a test posts each. */
export const JOB_EXAMPLES: Record<string, { summary: string; value: JobRequestInput }> = {
  smallest: {
    summary: 'The smallest form: a linear classifier on the features of the whole frozen network',
    value: { datasetUri: 's3://bucket/flowers/', scenario: 'small-similar' },
  },
  earlyFeatures: {
    summary: 'Few pictures unlike ImageNet: features of an early layer',
    value: {
      datasetUri: 's3://bucket/cells.zip',
      scenario: 'small-different',
      model: { featureLayer: 'block3_pool', weights: 's3://bucket/weights/vgg19.h5' },
      training: { epochs: 30, batchSize: 32, seed: 7 },
    },
  },
  fineTuning: {
    summary: 'Many pictures like ImageNet: the head first, then everything above block3_pool',
    value: {
      datasetUri: 's3://bucket/birds/',
      scenario: 'large-similar',
      freezeLayers: 'block3_pool',
      model: { pooling: 'avg', head: [{ units: 256, dropout: 0.5, l2: 0.0001 }] },
      training: {
        epochs: 20,
        headEpochs: 5,
        optimizer: { type: 'sgd', momentum: 0.9, nesterov: true },
        learningRate: 0.0001,
        schedule: { type: 'cosine', warmupEpochs: 1 },
        earlyStopping: { monitor: 'valAccuracy', patience: 4 },
        classWeights: 'balanced',
        labelSmoothing: 0.1,
        augmentation: { flip: true, shift: 0.1, rotation: 10 },
      },
      output: { uri: 's3://bucket/models/' },
      webhook: { url: 'https://example.com/hooks/headstart', events: ['job.succeeded', 'job.failed'] },
      priority: 100,
      metadata: { team: 'birds' },
    },
  },
};
