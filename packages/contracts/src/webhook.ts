import { z } from 'zod';
import { Job } from './job.js';
import { WebhookEventType } from './job-request.js';

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
    }),
  })
  .meta({ id: 'WebhookEvent' });
export type WebhookEvent = z.infer<typeof WebhookEvent>;
