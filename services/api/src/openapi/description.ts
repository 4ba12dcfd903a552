import { ERRORS } from '@headstart/contracts';

const CODES = Object.entries(ERRORS).map(
  ([code, { status, retryable, title }]) =>
    `| \`${code}\` | ${status} | ${retryable ? 'yes' : 'no'} | ${title} |`,
);

export const DESCRIPTION = `Post a job: where your pictures are, and which of the four classic transfer-learning scenarios you are in. A worker
trains a new head on VGG19, and the network below it where the scenario says so, and leaves the model, its metrics and a
report in your object store. Poll the job, or name a webhook.

Requests are strict: an unknown field or query parameter is a 400 that names it. Every answer has the header
\`x-request-id\`: yours, if you sent one of at most 128 safe characters, else a new one.

## Keys

A request shows who it comes from by \`Authorization: Bearer hs_...\`. Each key belongs to a tenant, which sees its own jobs alone:
another tenant's job is answered like one that does not exist. \`security\` of an operation names the least role that
its key must have; \`admin\` includes \`submit\`, and that includes \`read\`. A deployment without any key admits
everybody, as one tenant.

## Errors

Every error is \`application/problem+json\` (RFC 9457) with a stable \`code\`. The same codes stand in \`error\` of a job that
failed. A path without the method that was used answers 405 and \`Allow\`. What is no valid HTTP, comes later than
10 seconds or has more than 16 KiB of headers is answered with 400, 408 or 431, before any route sees it.

| Code | Status | Worth another try | Title |
|---|---|---|---|
${CODES.join('\n')}
`;

export const API_KEY = {
  type: 'http',
  scheme: 'bearer',
  description: 'A key from whoever runs the service. The roles are `read`, `submit` and `admin`.',
} as const;

export const TAGS = [
  { name: 'jobs', description: 'Post, read and cancel fine-tuning jobs.' },
  { name: 'operation', description: 'Probes for whoever runs the service.' },
  { name: 'webhooks', description: 'Where the service sends what becomes of jobs, and what it sends there.' },
];
