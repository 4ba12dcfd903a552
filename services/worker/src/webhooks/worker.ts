/**
 * Sends the webhooks, in the form of Standard Webhooks 1.0.0.
 *
 *   made       once per job, event and receiver, by whoever ends the job, in a queue of its own: a slow receiver holds no
 *              trainer. A receiver is the job's own webhook, signed with the deployment's secret, or an endpoint of its
 *              tenant, looked up for each try and signed with a secret of its own
 *   sent       POST, JSON `{ type, timestamp, data }`, `webhook-id` (the same over all tries), `webhook-timestamp` (of
 *              this try), `webhook-signature: v1,` base64(HMAC-SHA256(secret, `{id}.{timestamp}.{body}`)), once for each
 *              secret: two for a day after a rotation
 *   delivered  any 2xx
 *   gone       410, which disables an endpoint, or the endpoint was removed or disabled before: never tried again
 *   failed     anything else, redirects included, and no answer within the time limit: tried again by the schedule, and
 *              after 429 and 503 not before Retry-After; given up when the schedule is used up
 *
 * Progress is tried once, and dropped as soon as the job's end is decided.
 *
 * Each try, with how it ended, goes into the log of its receiver. A webhook may arrive more than once (the answer of a try that
 * worked can be lost): receivers drop known ids.
 */
import { AppError, type DeliveryResult, printableUri } from '@headstart/contracts';
import {
  findEndpoint,
  receiverIdOf,
  recordDelivery,
  signingSecrets,
  updateEndpoint,
  WEBHOOKS_QUEUE,
  type WebhookPayload,
  type WebhookRecord,
} from '@headstart/queue';
import type { UrlGuard } from '@headstart/storage';
import { UnrecoverableError, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { WebhookConfig } from '../config.js';
import { leaveNewerPayload } from '../supervisor/payload-version.js';
import { deliver, DeliveryFailed, type Destination, GONE } from './deliver.js';
import { sendWhileJobRuns, waitForProgress } from './progress.js';
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
  /** As for jobs: how long a webhook stays with a worker that is not heard of, and how often such ones are looked for. */
  lockDurationMs: number;
  stalledIntervalMs: number;
}

/** What the queue keeps of a webhook that did not fail. */
export interface WebhookOutcome {
  /** False of progress that was dropped. */
  isDelivered: boolean;
}

/** Makes the worker; it takes nothing before `run()` is called. The caller closes it, and `redis` after it. */
export function createWebhookWorker(options: WebhookWorkerOptions): Worker<WebhookPayload, WebhookOutcome> {
  const { redis, prefix, logger } = options;
  const worker = new Worker<WebhookPayload, WebhookOutcome>(
    WEBHOOKS_QUEUE,
    async (job, token) => {
      await leaveNewerPayload(job, token, logger);
      if (job.data.event.type === 'job.progress')
        return { isDelivered: await sendWhileJobRuns(options, job.data, () => tryOnce(job, options)) };
      await waitForProgress(options, job, token);
      await tryOnce(job, options);
      return { isDelivered: true };
    },
    {
      connection: redis,
      prefix,
      concurrency: CONCURRENCY,
      autorun: false,
      lockDuration: options.lockDurationMs,
      stalledInterval: options.stalledIntervalMs,
      // A worker that is lost on the way costs a try at most; it must not cost the webhook.
      maxStalledCount: 10,
      settings: {
        backoffStrategy: (failures, _type, error) =>
          (error instanceof DeliveryFailed ? error.nextDelayMs : delayMs(options, failures, null)) ?? GIVE_UP,
      },
    },
  );
  worker.on('error', (err) => logger.debug({ err }, 'webhook worker'));
  return worker;
}

function delayMs(
  { retryDelaysSeconds }: WebhookWorkerOptions,
  failures: number,
  retryAfterMs: number | null,
): number | null {
  return retryDelayMs(failures, retryDelaysSeconds, retryAfterMs, Math.random());
}

/** @throws DeliveryFailed where there is another try, UnrecoverableError where there is none. */
async function tryOnce(job: WebhookRecord, options: WebhookWorkerOptions): Promise<void> {
  const { data } = job;
  const id = data.replayOf ?? job.id ?? '';
  const log = options.logger.child({ jobId: data.event.data.id, webhook: job.id, try: job.attemptsMade + 1 });
  const at = new Date();
  let url: string | null = null;
  const record = (result: DeliveryResult, status: number | null, failed?: DeliveryFailed) => {
    const endMs = Date.now();
    const nextDelayMs = failed?.nextDelayMs ?? null;
    return recordDelivery(options, receiverIdOf(data), {
      webhookId: id,
      event: data.event.type,
      jobId: data.event.data.id,
      url: url === null ? null : printableUri(url),
      at: at.toISOString(),
      durationMs: endMs - at.getTime(),
      result,
      status,
      error: failed?.error ?? null,
      nextAttemptAt: nextDelayMs === null ? null : new Date(endMs + nextDelayMs).toISOString(),
      isReplay: data.replayOf !== undefined,
    }).catch((err: unknown) => log.error({ err }, 'the delivery is not in the log'));
  };
  try {
    const destination = await findDestination(data, options);
    ({ url } = destination);
    const status = await deliver(id, data.event, destination, options);
    log.info({ status }, 'webhook delivered');
    await record('delivered', status);
  } catch (error) {
    log.warn({ reason: error instanceof Error ? error.message : String(error) }, 'webhook not delivered');
    if (!(error instanceof DeliveryFailed)) throw error;
    if (error.status === GONE && url !== null) await disable(data, url, options);
    const isTriedAgain = data.replayOf === undefined && data.event.type !== 'job.progress';
    if (!error.isFinal && isTriedAgain)
      error.nextDelayMs = delayMs(options, job.attemptsMade + 1, error.retryAfterMs);
    await record(error.nextDelayMs === null ? 'given_up' : 'failed', error.status, error);
    throw error.nextDelayMs === null ? new UnrecoverableError(error.message) : error;
  }
}

/** @throws DeliveryFailed where there is none, for now; UnrecoverableError where it is gone, and its log with it. */
async function findDestination(
  payload: WebhookPayload,
  { redis, prefix, secrets }: WebhookWorkerOptions,
): Promise<Destination> {
  if ('url' in payload) {
    if (secrets.length > 0) return { url: payload.url, secrets };
    const message = 'The worker has no WEBHOOK_SECRET to sign with: set it, unsigned ones are never sent.';
    throw new DeliveryFailed('unsigned', message);
  }
  const { tenant, id } = payload.endpoint;
  const endpoint = await findEndpoint({ redis, prefix }, tenant, id);
  if (!endpoint) throw new UnrecoverableError('The endpoint was removed.');
  if (!endpoint.enabled) throw new DeliveryFailed('disabled', 'The endpoint is disabled.', { isFinal: true });
  return { url: endpoint.url, secrets: signingSecrets(endpoint, new Date()) };
}

/** Disables the endpoint whose receiver is gone for good, unless it has another URL by now. */
async function disable(payload: WebhookPayload, url: string, parts: WebhookWorkerOptions): Promise<void> {
  if (!('endpoint' in payload)) return;
  const { tenant, id } = payload.endpoint;
  try {
    await updateEndpoint(parts, tenant, id, (endpoint) =>
      endpoint.url === url ? { enabled: false, disabledReason: 'gone' } : {},
    );
    parts.logger.warn({ tenant, endpoint: id }, 'the receiver answered 410: its webhook is disabled');
  } catch (error) {
    // Removed meanwhile.
    if (!(error instanceof AppError) || error.code !== 'webhook_not_found') throw error;
  }
}
