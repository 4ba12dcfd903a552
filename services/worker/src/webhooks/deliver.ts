import type { IncomingMessage } from 'node:http';
import { AppError, type WebhookEvent } from '@headstart/contracts';
import type { UrlGuard } from '@headstart/storage';
import { parseRetryAfterMs } from './schedule.js';
import { signedHeaders } from './signature.js';

/** Where a webhook goes, and what it is signed with. */
export interface Destination {
  url: string;
  secrets: readonly string[];
}

export interface DeliveryOptions {
  timeoutMs: number;
  guard: UrlGuard;
}

/** One try to deliver a webhook failed. */
export class DeliveryFailed extends Error {
  override name = 'DeliveryFailed';
  /** What the receiver asked for with Retry-After. */
  readonly retryAfterMs: number | null;
  /** True where the receiver said that it is gone for good. */
  readonly isGone: boolean;

  constructor(
    message: string,
    options: { retryAfterMs?: number | null; isGone?: boolean; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.retryAfterMs = options.retryAfterMs ?? null;
    this.isGone = options.isGone ?? false;
  }
}

/**
 * Tries once to deliver a webhook. Redirects are not followed: one could lead anywhere.
 * @returns the HTTP status, 200 to 299. @throws DeliveryFailed for any other answer, or none in time; nothing of the
 *   answer's body is read.
 */
export async function deliver(
  id: string,
  event: WebhookEvent,
  { url, secrets }: Destination,
  { timeoutMs, guard }: DeliveryOptions,
): Promise<number> {
  const body = JSON.stringify(event);
  const now = new Date();
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'user-agent': 'headstart',
    ...signedHeaders(id, body, secrets, now),
  };
  const { statusCode: status = 0, headers: answered } = await post(guard, url, headers, body, timeoutMs);
  if (status >= 200 && status < 300) return status;
  if (status === 410)
    throw new DeliveryFailed('The receiver answered 410: it is gone for good.', { isGone: true });
  const waits = status === 429 || status === 503;
  throw new DeliveryFailed(`The receiver answered ${status}.`, {
    retryAfterMs: waits ? parseRetryAfterMs(answered['retry-after'] ?? null, now) : null,
  });
}

function post(
  guard: UrlGuard,
  url: string,
  headers: Record<string, string | number>,
  body: string,
  timeoutMs: number,
): Promise<IncomingMessage> {
  const signal = AbortSignal.timeout(timeoutMs);
  return new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = guard.request(new URL(url), { method: 'POST', headers, signal });
    outgoing.once('response', (answer) => {
      answer.destroy();
      resolve(answer);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  }).catch((cause: unknown) => {
    const reason = signal.aborted ? `not within ${timeoutMs / 1000} s` : reasonOf(cause);
    const message = cause instanceof AppError ? cause.message : `The receiver did not answer: ${reason}`;
    throw new DeliveryFailed(message, { cause });
  });
}

function reasonOf(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  return message || code || 'the connection failed';
}
