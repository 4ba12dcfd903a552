import type { JobRequestInput } from '@headstart/contracts';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { type Deployment, hasEnded, startDeployment } from '../support/deployment.js';

let deployment: Deployment;
beforeEach(async () => {
  deployment = await startDeployment(inject('redisUrl'));
  await deployment.startWorker();
});
afterEach(() => deployment.end());

/** At 32 pixels VGG19's last output is 1 x 1 x 512. */
const MODEL = { weights: 'random', inputSize: 32 };

const JOBS: (Pick<JobRequestInput, 'scenario' | 'freezeLayers' | 'model' | 'training'> & {
  stages: string[];
})[] = [
  { scenario: 'small-similar', model: MODEL, training: { epochs: 3 }, stages: ['head', 'head', 'head'] },
  {
    scenario: 'large-similar',
    freezeLayers: 'block5_conv3',
    model: MODEL,
    training: { epochs: 2, headEpochs: 1 },
    stages: ['head', 'fine-tune'],
  },
  {
    scenario: 'small-different',
    model: { ...MODEL, featureLayer: 'block2_pool' },
    training: { epochs: 3, augmentation: { flip: true, rotation: 20 } },
    stages: ['head', 'head', 'head'],
  },
  {
    scenario: 'large-different',
    model: MODEL,
    training: { epochs: 2, batchSize: 4 },
    stages: ['full', 'full'],
  },
];

describe('a job in each scenario', () => {
  it.each(JOBS)(
    '$scenario succeeds, stage by stage',
    async ({ stages, ...request }) => {
      const { client, folder } = deployment;
      const { id, plan } = await client.createJob({ datasetUri: `file://${folder}/pictures/`, ...request });
      const job = await deployment.waitFor(id, hasEnded, 100_000);
      expect(job).toMatchObject({ status: 'succeeded', error: null });
      expect(job.metrics.map(({ stage }) => stage)).toEqual(stages);
      for (const { loss, valLoss } of job.metrics) expect([loss, valLoss].every(Number.isFinite)).toBe(true);
      expect(job.plan).toEqual(plan);
      expect(job.artifacts?.files).toHaveProperty('model');
    },
    120_000,
  );
});
