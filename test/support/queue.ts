import type { JobRequest, Plan, Progress } from '@headstart/contracts';
import {
  createCommandChannel,
  createJobQueue,
  createRedis,
  createWebhookQueue,
  type JobPayload,
  type QueueParts as Parts,
} from '@headstart/queue';
import { resolvePlan } from '@headstart/training/plan';
import { randomUUID } from 'node:crypto';

export interface QueueParts extends Parts {
  close(): Promise<void>;
}

/** The queues under a prefix of the test's own; closing removes what is in them. */
export function openQueueParts(url: string, prefix = `test-${randomUUID()}`): QueueParts {
  const redis = createRedis(url, 'worker');
  const jobs = createJobQueue(redis, prefix);
  const webhooks = createWebhookQueue(redis, prefix);
  const channel = createCommandChannel(redis, prefix);
  return {
    prefix,
    redis,
    jobs,
    webhooks,
    channel,
    async close() {
      await channel.close();
      await Promise.all([jobs.obliterate({ force: true }), webhooks.obliterate({ force: true })]);
      await Promise.all([jobs.close(), webhooks.close()]);
      for await (const keys of redis.scanStream({ match: `${prefix}:*` }) as AsyncIterable<string[]>)
        if (keys.length > 0) await redis.del(keys);
      redis.disconnect();
    },
  };
}

const REQUEST: JobRequest = { datasetUri: 'file:///data/flowers/', scenario: 'small-similar' };

export function makePayload(request: Partial<JobRequest> = {}): JobPayload {
  const whole = { ...REQUEST, ...request };
  const plan: Plan = resolvePlan(whole, { classes: ['daisy', 'tulip'] });
  return {
    version: 1,
    request: whole,
    plan,
    jobModelUri: null,
    requestId: 'request-1',
    outputUri: 'file:///data/output/1/',
    metrics: [],
    runtime: null,
    artifacts: null,
    canceledAt: null,
  };
}

export const PROGRESS: Progress = {
  phase: 'training',
  done: 3,
  total: 10,
  unit: 'steps',
  remainingSeconds: 7,
  picturesPerSecond: 40,
  epoch: 1,
  epochs: 2,
  step: 3,
  steps: 5,
};
