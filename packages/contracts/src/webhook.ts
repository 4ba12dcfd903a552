import { z } from 'zod';
import { Job, Progress } from './job.js';
import { WebhookEventType } from './job-request.js';

/**
 * The key inside a `whsec_` secret (Standard Webhooks 1.0.0).
 * @returns null where the secret is not `whsec_` and the base64 of 24 to 64 bytes.
 */
export function decodeWebhookSecret(secret: string): Buffer | null {
  const base64 = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret)?.[1];
  if (base64 === undefined) return null;
  const key = Buffer.from(base64, 'base64');
  return key.length >= 24 && key.length <= 64 ? key : null;
}

/** WEBHOOK_SECRET of every service: the API takes webhooks where it is set, the worker signs with it. */
export const WebhookSecret = z.string().refine((secret) => decodeWebhookSecret(secret) !== null, {
  error: 'must be whsec_ and the base64 of 24 to 64 bytes',
});

/**
 * The body of a webhook, in the form of Standard Webhooks 1.0.0 (`type`, `timestamp`, `data`).
 *
 * `data` leaves out the layer list, the request and the epochs, which `GET /jobs/:id` has: the body stays below 20 kB.
 */
export const WebhookEvent = z
  .object({
    type: WebhookEventType,
    timestamp: z.iso.datetime(),
    data: Job.pick({
      id: true,
      status: true,
      artifacts: true,
      error: true,
      metadata: true,
      createdAt: true,
      startedAt: true,
      finishedAt: true,
    }).extend({
      metrics: Job.shape.metrics.element
        .nullable()
        .meta({ description: 'Of the last epoch; null if none ended.' }),
      progress: Progress.nullable(),
    }),
  })
  .meta({ id: 'WebhookEvent' });
export type WebhookEvent = z.infer<typeof WebhookEvent>;
