/** Share by which a delay varies either way, so that receivers that come back are not hit by all at once. */
const JITTER = 0.1;
const MAX_RETRY_AFTER_MS = 24 * 3600 * 1000;

/**
 * How long to wait before the next try.
 * @param failures tries that have failed, at least 1.
 * @param retryAfterMs what the receiver asked for with its last answer: never tried earlier than that.
 * @param random 0 up to 1.
 * @returns milliseconds, or null when the schedule is used up.
 */
export function retryDelayMs(
  failures: number,
  delaysSeconds: readonly number[],
  retryAfterMs: number | null,
  random: number,
): number | null {
  const delaySeconds = delaysSeconds[failures - 1];
  if (delaySeconds === undefined) return null;
  const delayMs = Math.round(delaySeconds * 1000 * (1 + JITTER * (2 * random - 1)));
  return Math.max(delayMs, retryAfterMs ?? 0);
}

/**
 * Reads a Retry-After header, seconds or an HTTP date, as milliseconds from `now`; a day at most.
 * @returns null where there is none, or it cannot be read.
 */
export function parseRetryAfterMs(header: string | null, now: Date): number | null {
  if (header === null) return null;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - now.getTime();
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS) : null;
}
