/**
 * Sends the webhooks, in the form of Standard Webhooks 1.0.0.
 *
 *   made       once per job, event and receiver, by whoever ends the job, in a queue of its own: a slow receiver holds no
 *              trainer. A receiver is the job's own webhook, signed with the deployment's secret, or an endpoint of its
 *              tenant, looked up for each try and signed with a secret of its own
 *   sent       POST, JSON `{ type, timestamp, data }`, `webhook-id` (the same over all tries), `webhook-timestamp` (of
 *              this try), `webhook-signature: v1,` base64(HMAC-SHA256(secret, `{id}.{timestamp}.{body}`))
 *   delivered  any 2xx
 *   gone       410, or the endpoint was removed or disabled: never tried again
 *   failed     anything else, redirects included, and no answer within the time limit: tried again by the schedule, and
 *              after 429 and 503 not before Retry-After; given up when the schedule is used up
 *
 * A webhook may arrive more than once (the answer of a try that worked can be lost): receivers drop known ids.
 */
import { findEndpoint, WEBHOOKS_QUEUE, type WebhookPayload } from '@headstart/queue';
import type { UrlGuard } from '@headstart/storage';
import { UnrecoverableError, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { WebhookConfig } from '../config.js';
import { leaveNewerPayload } from '../supervisor/payload-version.js';
import { deliver, DeliveryFailed, type Destination } from './deliver.js';
import { retryDelayMs } from './schedule.js';

const CONCURRENCY = 20;
/** BullMQ's word for "no further try". */
const GIVE_UP = -1;

export interface WebhookWorkerOptions extends WebhookConfig {
  redis: Redis;
  prefix: string;
  logger: Logger;
  /** Decides where webhooks may go. */
  guard: UrlGuard;
}

/** Makes the worker; it takes nothing before `run()` is called. The caller closes it, and `redis` after it. */
export function createWebhookWorker(options: WebhookWorkerOptions): Worker<WebhookPayload> {
  const { redis, prefix, logger, retryDelaysSeconds } = options;
  const worker = new Worker<WebhookPayload>(
    WEBHOOKS_QUEUE,
    async (job, token) => {
      await leaveNewerPayload(job, token, logger);
      const { id = '', data } = job;
      const log = logger.child({ jobId: data.event.data.id, webhook: id, try: job.attemptsMade + 1 });
      try {
        const status = await deliver(id, data.event, await findDestination(data, options), options);
        log.info({ status }, 'webhook delivered');
      } catch (error) {
        log.warn({ reason: error instanceof Error ? error.message : String(error) }, 'webhook not delivered');
        if (error instanceof DeliveryFailed && error.isGone) throw new UnrecoverableError(error.message);
        throw error;
      }
    },
    {
      connection: redis,
      prefix,
      concurrency: CONCURRENCY,
      autorun: false,
      // A worker that is lost on the way costs a try at most; it must not cost the webhook.
      maxStalledCount: 10,
      settings: {
        backoffStrategy: (failures, _type, error) => {
          const retryAfterMs = error instanceof DeliveryFailed ? error.retryAfterMs : null;
          return retryDelayMs(failures, retryDelaysSeconds, retryAfterMs, Math.random()) ?? GIVE_UP;
        },
      },
    },
  );
  worker.on('error', (err) => logger.debug({ err }, 'webhook worker'));
  return worker;
}

/** @throws DeliveryFailed where there is none, for now or for good. */
async function findDestination(
  payload: WebhookPayload,
  { redis, prefix, secret }: WebhookWorkerOptions,
): Promise<Destination> {
  if ('url' in payload) {
    if (secret !== undefined) return { url: payload.url, secrets: [secret] };
    throw new DeliveryFailed(
      'The worker has no WEBHOOK_SECRET to sign with: set it, unsigned ones are never sent.',
    );
  }
  const { tenant, id } = payload.endpoint;
  const endpoint = await findEndpoint({ redis, prefix }, tenant, id);
  if (!endpoint) throw new DeliveryFailed('The endpoint was removed.', { isGone: true });
  if (!endpoint.enabled) throw new DeliveryFailed('The endpoint is disabled.', { isGone: true });
  return { url: endpoint.url, secrets: [endpoint.secret] };
}
