import { z } from 'zod';
import { pageLimit } from './job-list.js';
import { WebhookEventType } from './job-request.js';

/** A try that `failed` is followed by another; with one that was `given_up` there is no other. */
export const DeliveryResult = z.enum(['delivered', 'failed', 'given_up']);
export type DeliveryResult = z.infer<typeof DeliveryResult>;

export const DELIVERY_ERRORS = {
  status: 'the answer was not a 2xx',
  timeout: 'no answer in time',
  dns: 'the host has no address',
  tls: 'the certificate or the handshake',
  connection: 'refused, reset, or no HTTP',
  address: 'an address that is not public',
  disabled: 'the webhook was disabled, and nothing sent',
  unsigned: 'the deployment has no secret to sign with, and nothing was sent',
} as const;
export const DeliveryError = z.enum(
  Object.keys(DELIVERY_ERRORS) as [keyof typeof DELIVERY_ERRORS, ...(keyof typeof DELIVERY_ERRORS)[]],
);
export type DeliveryError = z.infer<typeof DeliveryError>;

/** One try to send an event. Of the receiver's answer it has the status alone. */
export const WebhookDelivery = z
  .object({
    id: z.string().meta({ description: 'Of this try.' }),
    webhookId: z.string().meta({
      description: 'The header `webhook-id`, the same over all tries and replays of the event.',
    }),
    event: WebhookEventType,
    jobId: z.string(),
    url: z.string().nullable().meta({
      description: 'Where it went, without the query; null where nothing was sent.',
    }),
    at: z.iso.datetime(),
    durationMs: z.int(),
    result: DeliveryResult,
    status: z.int().nullable().meta({ description: "The answer's; null where none came." }),
    error: DeliveryError.nullable().meta({
      description: `Why it was not delivered: ${Object.entries(DELIVERY_ERRORS)
        .map(([name, meaning]) => `\`${name}\` (${meaning})`)
        .join(', ')}.`,
    }),
    nextAttemptAt: z.iso.datetime().nullable(),
    isReplay: z.boolean(),
  })
  .meta({ id: 'WebhookDelivery' });
export type WebhookDelivery = z.infer<typeof WebhookDelivery>;

/** The query of a list of deliveries. */
export const DeliveryQuery = z.strictObject({
  limit: pageLimit('Deliveries'),
  cursor: z
    .string()
    .regex(/^[1-9]\d{0,14}-\d{1,15}$/, 'must be `nextCursor` of an earlier answer')
    .optional()
    .meta({ description: '`nextCursor` of the page before.' }),
});
export type DeliveryQuery = z.infer<typeof DeliveryQuery>;

export const WebhookDeliveryList = z
  .object({
    deliveries: z.array(WebhookDelivery).meta({ description: 'Newest first.' }),
    nextCursor: z.string().nullable().meta({ description: 'Where the next page begins; null on the last.' }),
  })
  .meta({ id: 'WebhookDeliveryList' });
export type WebhookDeliveryList = z.infer<typeof WebhookDeliveryList>;

/** What a replay answers. */
export const WebhookReplay = z
  .object({
    webhookId: z.string().meta({ description: 'The same as at first.' }),
  })
  .meta({ id: 'WebhookReplay' });
export type WebhookReplay = z.infer<typeof WebhookReplay>;
