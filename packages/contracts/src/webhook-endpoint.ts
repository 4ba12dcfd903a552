import { z } from 'zod';
import { WebhookEventFilter } from './job-request.js';
import { uriOf } from './uri.js';

/** Of one tenant. */
export const MAX_WEBHOOK_ENDPOINTS = 16;

const Url = uriOf(['https', 'http'], 'url').meta({
  description:
    'Where events are posted to; it must lead to a public address, or to a network that the deployment allows.',
  examples: ['https://example.com/hooks/headstart'],
});
const Enabled = z.boolean().meta({ description: 'Nothing is sent to an endpoint that is not.' });

/** The body of `POST /webhooks`. */
export const WebhookEndpointRequest = z
  .strictObject({
    url: Url,
    events: WebhookEventFilter,
    enabled: Enabled.default(true),
  })
  .meta({ id: 'WebhookEndpointRequest' });
export type WebhookEndpointRequest = z.infer<typeof WebhookEndpointRequest>;
export type WebhookEndpointRequestInput = z.input<typeof WebhookEndpointRequest>;

/** The body of `PATCH /webhooks/:id`: what is left out stays as it is. */
export const WebhookEndpointChange = z
  .strictObject({ url: Url, events: WebhookEventFilter.unwrap(), enabled: Enabled })
  .partial()
  .refine((change) => Object.keys(change).length > 0, { error: 'must have a field to change' })
  .meta({ id: 'WebhookEndpointChange', minProperties: 1 });
export type WebhookEndpointChange = z.infer<typeof WebhookEndpointChange>;

/** A URL to which the events of all jobs of a tenant are posted. */
export const WebhookEndpoint = z
  .object({
    id: z.string(),
    url: Url,
    events: WebhookEventFilter.unwrap(),
    enabled: Enabled,
    disabledReason: z.enum(['gone']).nullable().meta({
      description:
        '`gone`: its receiver answered 410, which disables it; null where it is enabled, or a client has disabled it.',
    }),
    previousSecretExpiresAt: z.iso.datetime().nullable().meta({
      description: 'Until then the secret before the last rotation signs too; null where there was none.',
    }),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'WebhookEndpoint' });
export type WebhookEndpoint = z.infer<typeof WebhookEndpoint>;

export const WebhookEndpointWithSecret = WebhookEndpoint.extend({
  secret: z.string().meta({
    description:
      '`whsec_` and the base64 of the key that signs what is sent. It is shown in this answer alone.',
    examples: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw1ynhwEDdQ8A='],
  }),
}).meta({ id: 'WebhookEndpointWithSecret' });
export type WebhookEndpointWithSecret = z.infer<typeof WebhookEndpointWithSecret>;

/** What `GET /webhooks` answers. */
export const WebhookEndpointList = z
  .object({ webhooks: z.array(WebhookEndpoint).meta({ description: 'Oldest first.' }) })
  .meta({ id: 'WebhookEndpointList' });
export type WebhookEndpointList = z.infer<typeof WebhookEndpointList>;
