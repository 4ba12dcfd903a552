import type { Job } from '@headstart/contracts';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { type Deployment, hasEnded, startDeployment } from '../support/deployment.js';
import { webgpuFailure } from '../support/webgpu.js';

/** Of an epoch's losses, relative. */
const TOLERANCE = 1e-4;

let deployment: Deployment;

/** The same job on a worker of its own. */
async function runOn(engine: string): Promise<Job> {
  const worker = await deployment.startWorker({ ENGINE: engine });
  const { id } = await deployment.post({ model: { featureLayer: 'block2_pool' } });
  const job = await deployment.waitFor(id, hasEnded);
  worker.signal('SIGTERM');
  await worker.ended;
  return job;
}

describe.skipIf(webgpuFailure !== null)('a job on a worker set to webgpu', () => {
  beforeEach(async () => {
    deployment = await startDeployment(inject('redisUrl'));
  });
  afterEach(() => deployment.end());

  it('succeeds, epoch by epoch as on onnxruntime', async () => {
    const expected = await runOn('onnxruntime');
    const job = await runOn('webgpu');
    expect(job).toMatchObject({ status: 'succeeded', error: null, engine: 'webgpu' });
    expect(job.artifacts?.files).toHaveProperty('model');
    expect(job.metrics).toHaveLength(expected.metrics.length);
    job.metrics.forEach((epoch, index) => {
      const { loss, valLoss, accuracy, valAccuracy } = expected.metrics[index]!;
      expect(epoch).toMatchObject({ accuracy, valAccuracy });
      expect(Math.abs(epoch.loss / loss - 1)).toBeLessThan(TOLERANCE);
      expect(Math.abs(epoch.valLoss / valLoss - 1)).toBeLessThan(TOLERANCE);
    });
  });
});
