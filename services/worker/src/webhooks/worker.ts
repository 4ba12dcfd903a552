/**
 * Sends the webhooks, in the form of Standard Webhooks 1.0.0.
 *
 *   made       once per job and event, by whoever ends the job, in a queue of its own: a slow receiver holds no trainer
 *   sent       POST, JSON `{ type, timestamp, data }`, `webhook-id` (the same over all tries), `webhook-timestamp` (of
 *              this try), `webhook-signature: v1,` base64(HMAC-SHA256(secret, `{id}.{timestamp}.{body}`))
 *   delivered  any 2xx
 *   gone       410: never tried again
 *   failed     anything else, redirects included, and no answer within the time limit: tried again by the schedule, and
 *              after 429 and 503 not before Retry-After; given up when the schedule is used up
 *
 * A webhook may arrive more than once (the answer of a try that worked can be lost): receivers drop known ids.
 */
import { WEBHOOKS_QUEUE, type WebhookPayload } from '@headstart/queue';
import type { UrlGuard } from '@headstart/storage';
import { UnrecoverableError, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { WebhookConfig } from '../config.js';
import { leaveNewerPayload } from '../supervisor/payload-version.js';
import { deliver, DeliveryFailed } from './deliver.js';
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
  const { redis, prefix, logger, secret, retryDelaysSeconds, timeoutMs, guard } = options;
  const worker = new Worker<WebhookPayload>(
    WEBHOOKS_QUEUE,
    async (job, token) => {
      await leaveNewerPayload(job, token, logger);
      const log = logger.child({ jobId: job.data.event.data.id, webhook: job.id, try: job.attemptsMade + 1 });
      if (secret === undefined) {
        log.error('a webhook waits, and WEBHOOK_SECRET is not set: set it, unsigned ones are never sent');
        throw new Error('The worker has no WEBHOOK_SECRET to sign with.');
      }
      try {
        const status = await deliver(webhookId(job.id ?? ''), job.data, { secret, timeoutMs, guard });
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

/** The `webhook-id` of a queued webhook: the full stops of `ID.job.succeeded` would split the signed text. */
export function webhookId(recordId: string): string {
  return recordId.replaceAll('.', '_');
}
