import type {
  JobRequestInput,
  WebhookEndpointChange,
  WebhookEndpointRequestInput,
} from '@headstart/contracts';

type Examples<T = unknown> = Record<string, { summary: string; value: T }>;

const JOBS: Examples<JobRequestInput> = {
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

const WEBHOOKS: Examples<WebhookEndpointRequestInput> = {
  smallest: {
    summary: 'Every event of every job',
    value: { url: 'https://example.com/hooks/headstart' },
  },
  failures: {
    summary: 'What fails alone, and nothing before it is enabled',
    value: { url: 'https://example.com/hooks/alerts', events: ['job.failed'], enabled: false },
  },
};

const WEBHOOK_CHANGES: Examples<WebhookEndpointChange> = {
  pause: { summary: 'Send nothing for now', value: { enabled: false } },
  move: {
    summary: 'Another receiver, for other events',
    value: { url: 'https://example.org/headstart', events: ['job.succeeded', 'job.failed'] },
  },
};

/** Bodies for openapi.yaml, by operation; a test sends each. */
export const BODY_EXAMPLES: Record<string, Examples> = {
  createJob: JOBS,
  createWebhook: WEBHOOKS,
  updateWebhook: WEBHOOK_CHANGES,
};

const DELIVERIES_PAGE: Record<string, Examples> = {
  limit: { more: { summary: 'As many as there can be', value: 100 } },
  cursor: { next: { summary: 'The next page', value: '1764115200000-0' } },
};

/** Query and header parameters for openapi.yaml, by operation and name; a test asks with each. */
export const PARAMETER_EXAMPLES: Record<string, Record<string, Examples>> = {
  createJob: { dryRun: { plan: { summary: 'The plan, and no job', value: 'true' } } },
  listJobs: {
    limit: { more: { summary: 'As many as there can be', value: 100 } },
    cursor: {
      next: { summary: 'The next page', value: '1764115200000:0b0e4f3c-5f0a-4c8e-9a52-5d1a3f0f6f6e' },
    },
    status: {
      one: { summary: 'Those that run', value: ['running'] },
      several: { summary: 'Those that can be run again', value: ['failed', 'canceled'] },
    },
    scenario: { one: { summary: 'Of one scenario', value: ['small-similar'] } },
    metadata: {
      one: { summary: 'With one label', value: ['team=birds'] },
      all: { summary: 'With all of these', value: ['team=birds', 'season=spring'] },
    },
  },
  deleteJob: { files: { remove: { summary: 'The files too', value: 'true' } } },
  followJob: {
    'last-event-id': {
      next: { summary: 'What came behind an event', value: '1764115200000-0' },
      end: { summary: 'Nothing came behind the last one', value: 'end' },
    },
  },
  getJobLogs: { format: { text: { summary: 'Lines to read', value: 'text' } } },
  getArtifact: {
    range: {
      beginning: { summary: 'The first bytes', value: 'bytes=0-9' },
      end: { summary: 'The last bytes', value: 'bytes=-10' },
    },
  },
  listJobDeliveries: DELIVERIES_PAGE,
  listWebhookDeliveries: DELIVERIES_PAGE,
};
