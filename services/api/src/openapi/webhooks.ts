import { PROGRESS_EVERY_SECONDS, WEBHOOK_EVENTS, type WebhookEventType } from '@headstart/contracts';
import type { OpenAPIV3_1 } from 'openapi-types';

const MEANING: Record<WebhookEventType, string> = {
  'job.succeeded': 'The model and its files have been published.',
  'job.failed': 'The job has ended without a model; `data.error` says why.',
  'job.canceled': 'The job was canceled, and no worker has it any more.',
  'job.progress': `How far the job is. At most one in ${PROGRESS_EVERY_SECONDS} seconds, each tried once, and none behind the job's end.`,
};

const SUMMARY: Record<WebhookEventType, string> = {
  'job.succeeded': 'A job has succeeded',
  'job.failed': 'A job has failed',
  'job.canceled': 'A job has been canceled',
  'job.progress': 'A job goes on',
};

const HEADERS: OpenAPIV3_1.ParameterObject[] = [
  {
    name: 'webhook-id',
    in: 'header',
    required: true,
    description: 'Names the event, the same over all tries: use it to drop what you have had already.',
    schema: { type: 'string' },
  },
  {
    name: 'webhook-timestamp',
    in: 'header',
    required: true,
    description: 'Of this try, in seconds since 1970.',
    schema: { type: 'string', pattern: '^[0-9]+$' },
  },
  {
    name: 'webhook-signature',
    in: 'header',
    required: true,
    description:
      'One or more signatures, separated by spaces: `v1,` and the base64 of HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}`, keyed with the bytes after `whsec_` in the secret.',
    schema: { type: 'string' },
    example: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  },
];

/** What the service sends when a job ends, in the form of Standard Webhooks 1.0.0. */
export function describeWebhooks(): Record<string, OpenAPIV3_1.PathItemObject> {
  return Object.fromEntries(WEBHOOK_EVENTS.map((type) => [type, { post: describe(type) }]));
}

function describe(type: WebhookEventType) {
  const name = type.slice('job.'.length);
  return {
    operationId: `on${name[0]?.toUpperCase()}${name.slice(1)}`,
    tags: ['webhooks'],
    summary: SUMMARY[type],
    description: `${MEANING[type]} Sent to \`webhook.url\` of the job and to the tenant's webhooks, where their \`events\` have \`${type}\`.`,
    parameters: HEADERS,
    requestBody: {
      required: true,
      content: { 'application/json': { schema: { $ref: '#/components/schemas/WebhookEvent' } } },
    },
    responses: {
      '2XX': { description: 'Taken.' },
      '3XX': { description: 'A failed try: redirects are not followed.' },
      '410': { description: 'Not wanted any more: there is no further try.' },
      '4XX': { description: 'A failed try; after 429 `Retry-After` is honoured.' },
      '5XX': { description: 'A failed try.' },
    },
  };
}
