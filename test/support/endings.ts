import type { Job, WebhookEvent } from '@headstart/contracts';
import { createRedis, JOBS_QUEUE } from '@headstart/queue';
import { expect } from 'vitest';
import { poll } from './poll.js';
import type { Receiver } from './receiver.js';

/** How often each job of a queue was completed or failed for good, as BullMQ's own log of the queue has it. */
export async function readEndings(redisUrl: string, prefix: string): Promise<Map<string, string[]>> {
  const redis = createRedis(redisUrl, 'worker');
  try {
    const endings = new Map<string, string[]>();
    for (const [, fields] of await redis.xrange(`${prefix}:${JOBS_QUEUE}:events`, '-', '+')) {
      const entry = Object.fromEntries(
        fields.flatMap((name, i) => (i % 2 === 0 ? [[name, fields[i + 1] ?? '']] : [])),
      ) as Record<string, string>;
      const { event = '', jobId = '' } = entry;
      if (event === 'completed' || event === 'failed')
        endings.set(jobId, [...(endings.get(jobId) ?? []), event]);
    }
    return endings;
  } finally {
    redis.disconnect();
  }
}

/** Every job ended once, as it says itself, and its receiver has one webhook of that and of nothing else. */
export async function expectEndedOnce(
  jobs: readonly Job[],
  { redisUrl, prefix, receiver }: { redisUrl: string; prefix: string; receiver: Receiver },
): Promise<void> {
  const endings = await readEndings(redisUrl, prefix);
  for (const { id, status } of jobs) {
    expect(endings.get(id), `endings of ${id}`).toEqual([status === 'succeeded' ? 'completed' : 'failed']);
    await poll(`the webhook of ${id}`, () => (toldOf(receiver, id).length > 0 ? true : null));
    const told = toldOf(receiver, id).map(({ webhookId, type }) => `${webhookId} ${type}`);
    expect(new Set(told)).toEqual(new Set([`${id}_job_${status} job.${status}`]));
  }
}

function toldOf({ received }: Receiver, id: string): { webhookId: string; type: string }[] {
  return received
    .map(({ headers, body }) => ({ headers, event: JSON.parse(body) as WebhookEvent }))
    .filter(({ event }) => event.data.id === id)
    .map(({ headers, event }) => ({ webhookId: String(headers['webhook-id']), type: event.type }));
}
