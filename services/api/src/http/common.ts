import { z } from 'zod';

/** Of a route that takes no query: an unknown parameter is refused, as everywhere. */
export const NoQuery = z.strictObject({});

export const JobParams = z.object({
  id: z.string().meta({
    description: 'Id of the job, from the answer to POST /jobs.',
    examples: ['0b0e4f3c-5f0a-4c8e-9a52-5d1a3f0f6f6e'],
  }),
});

export const WebhookParams = z.object({
  id: z.string().meta({
    description: 'Id of the webhook, from the answer to POST /webhooks.',
    examples: ['5d1a3f0f-6f6e-4c8e-9a52-0b0e4f3c5f0a'],
  }),
});

/** To add to the parameters of what an event was sent to. */
export const DeliveryParams = z.object({
  webhookId: z.string().meta({
    description: 'The event, by its header `webhook-id`.',
    examples: ['0b0e4f3c-5f0a-4c8e-9a52-5d1a3f0f6f6e_job_failed'],
  }),
});

export const IDEMPOTENCY_KEY = 'idempotency-key';

/** Headers of a route that makes a job; others are let through, as every client sends some. */
export const IdempotencyHeaders = z.object({
  [IDEMPOTENCY_KEY]: z
    .string()
    .regex(/^[\x21-\x7e]{1,255}$/, 'must be 1 to 255 printable ASCII characters without spaces')
    .optional()
    .meta({
      description:
        'A value of your own, new for every job that you want: a post that is sent again with it makes no second job.',
      examples: ['9f1c1a52-0f0e-4c1b-8f3a-5b7c2f3a9d10'],
    }),
});
