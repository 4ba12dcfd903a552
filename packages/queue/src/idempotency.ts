import { createHash } from 'node:crypto';
import { AppError, DEFAULT_TENANT } from '@headstart/contracts';
import { KEPT_SECONDS, SECONDS_PER_DAY } from './job-queue.js';
import { idempotencyKey } from './keys.js';
import type { QueueParts } from './parts.js';
import type { IdempotencyClaim } from './payload.js';

/** The longest that a job is kept once it has ended, and a day. */
export const CLAIM_SECONDS = KEPT_SECONDS.failed + SECONDS_PER_DAY;

/**
 * What a tenant's `Idempotency-Key` stands for; the same key of another tenant stands for another job.
 * @param request what makes two posts the same: JSON, in which the order of fields does not count.
 */
export function claimFor(tenant: string, key: string, request: unknown): IdempotencyClaim {
  // The default tenant's are as they were before there were tenants. Neither a key nor a name has a line break.
  const ownKey = tenant === DEFAULT_TENANT ? key : `${tenant}\n${key}`;
  return {
    jobId: uuidOf(sha256(`job\n${ownKey}`)),
    keyDigest: sha256(`key\n${ownKey}`),
    requestDigest: sha256(canonical(request)),
  };
}

/**
 * @returns whether a job was made with that key before.
 * @throws AppError('idempotency_conflict') where it was posted with another body.
 */
export async function isClaimed({ redis, prefix }: QueueParts, claim: IdempotencyClaim): Promise<boolean> {
  const stored = await redis.get(idempotencyKey(prefix, claim.keyDigest));
  if (stored === null) return false;
  if (stored !== claim.requestDigest) throw idempotencyConflict(claim);
  return true;
}

export function idempotencyConflict({ jobId }: IdempotencyClaim): AppError {
  return new AppError(
    'idempotency_conflict',
    `This Idempotency-Key was used for another request, which made job ${jobId}. Take a new key for a new job.`,
    { details: { jobId } },
  );
}

/** A UUID of version 8 (RFC 9562: made in a way of one's own) from a digest. */
function uuidOf(digest: string): string {
  const hex = `${digest.slice(0, 12)}8${digest.slice(13, 16)}8${digest.slice(17, 32)}`;
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, held: unknown) =>
    typeof held === 'object' && held !== null && !Array.isArray(held)
      ? Object.fromEntries(Object.entries(held).sort(([a], [b]) => (a < b ? -1 : 1)))
      : held,
  );
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
