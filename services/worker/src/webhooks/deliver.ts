import type { WebhookPayload } from '@headstart/queue';
import { parseRetryAfterMs } from './schedule.js';
import { signedHeaders } from './signature.js';

export interface DeliveryOptions {
  secret: string;
  timeoutMs: number;
}

/** One try to deliver a webhook failed. */
export class DeliveryFailed extends Error {
  override name = 'DeliveryFailed';
  /** What the receiver asked for with Retry-After. */
  readonly retryAfterMs: number | null;
  /** True where the receiver said that it is gone for good. */
  readonly isGone: boolean;

  constructor(message: string, options: { retryAfterMs?: number | null; isGone?: boolean; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.retryAfterMs = options.retryAfterMs ?? null;
    this.isGone = options.isGone ?? false;
  }
}

/**
 * Tries once to deliver a webhook.
 * @returns the HTTP status, 200 to 299. @throws DeliveryFailed for any other answer, or none in time.
 */
export async function deliver(
  id: string,
  { url, event }: WebhookPayload,
  { secret, timeoutMs }: DeliveryOptions,
): Promise<number> {
  const body = JSON.stringify(event);
  const now = new Date();
  let response: Response;
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'headstart',
        ...signedHeaders(id, body, secret, now),
      },
      body,
      // A redirect could lead anywhere, and would turn the POST into a GET.
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    });
    await response.body?.cancel();
  } catch (error) {
    throw new DeliveryFailed(`The receiver did not answer: ${reasonOf(error, timeoutMs)}`, { cause: error });
  }
  const { status } = response;
  if (status >= 200 && status < 300) return status;
  if (status === 410)
    throw new DeliveryFailed('The receiver answered 410: it is gone for good.', { isGone: true });
  const waits = status === 429 || status === 503;
  throw new DeliveryFailed(`The receiver answered ${status}.`, {
    retryAfterMs: waits ? parseRetryAfterMs(response.headers.get('retry-after'), now) : null,
  });
}

function reasonOf(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return `not within ${timeoutMs / 1000} s`;
  // fetch itself says only "fetch failed"; its cause says why.
  return error.cause instanceof Error ? error.cause.message : error.message;
}
