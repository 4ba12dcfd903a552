import type { IncomingMessage } from 'node:http';
import { AppError, type DeliveryError, type WebhookEvent } from '@headstart/contracts';
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

export interface DeliveryFailedOptions {
  status?: number;
  retryAfterMs?: number | null;
  isFinal?: boolean;
  cause?: unknown;
}

/** One try to deliver a webhook failed. */
export class DeliveryFailed extends Error {
  override name = 'DeliveryFailed';
  readonly error: DeliveryError;
  /** Of the answer; null where none came. */
  readonly status: number | null;
  /** What the receiver asked for with Retry-After. */
  readonly retryAfterMs: number | null;
  /** True where no other try would help. */
  readonly isFinal: boolean;
  /** When the next try is due, from the end of this one; null: there is none. */
  nextDelayMs: number | null = null;

  constructor(error: DeliveryError, message: string, options: DeliveryFailedOptions = {}) {
    super(message, { cause: options.cause });
    this.error = error;
    this.status = options.status ?? null;
    this.retryAfterMs = options.retryAfterMs ?? null;
    this.isFinal = options.isFinal ?? false;
  }
}

/** The answer of a receiver that is gone for good. */
export const GONE = 410;

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
  const waits = status === 429 || status === 503;
  throw new DeliveryFailed('status', `The receiver answered ${status}.`, {
    status,
    retryAfterMs: waits ? parseRetryAfterMs(answered['retry-after'] ?? null, now) : null,
    isFinal: status === GONE,
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
    // Nothing else comes behind an answer that switches to another protocol.
    outgoing.once('close', () => reject(new Error('the connection ended without an answer')));
    outgoing.end(body);
  }).catch((cause: unknown) => {
    if (cause instanceof AppError) throw new DeliveryFailed('address', cause.message, { cause });
    const { message, code = '' } = cause as NodeJS.ErrnoException;
    const reason = signal.aborted
      ? `not within ${timeoutMs / 1000} s`
      : message || code || 'the connection failed';
    const error = signal.aborted ? 'timeout' : classify(code);
    throw new DeliveryFailed(error, `The receiver did not answer: ${reason}`, { cause });
  });
}

/** @param code Node's, of the system, of its resolver or of OpenSSL. */
function classify(code: string): DeliveryError {
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'dns';
  if (/^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|EPROTO$)|SELF_SIGNED|_CERT/.test(code)) return 'tls';
  return 'connection';
}
