import { DEFAULT_TENANT } from '@headstart/contracts';

export const JOBS_QUEUE = 'jobs';

/** Keys of what is kept beside BullMQ's own, below the same prefix. */

/** Sorted set of each of a tenant's jobs' `memberOf`, all of score 0, so that Redis sorts them by their bytes: by time, then by id. */
export function indexKey(prefix: string, tenant: string): string {
  // The default tenant's is where all jobs were before there were tenants.
  return tenant === DEFAULT_TENANT ? `${prefix}:index` : `${prefix}:index:${tenant}`;
}

/** Sorted set of the ids of a tenant's jobs that have not ended, by when they were posted. */
export function liveKey(prefix: string, tenant: string): string {
  return `${prefix}:live:${tenant}`;
}

/** How many of those were queued when they were last counted; it expires at once. */
export function queuedKey(prefix: string, tenant: string): string {
  return `${prefix}:queued:${tenant}`;
}

/** Set of the ids of a tenant's jobs that run; see `takeSlot`. */
export function slotsKey(prefix: string, tenant: string): string {
  return `${prefix}:slots:${tenant}`;
}

/** Sorted set of the ids of a tenant's jobs that wait for one of those to end, the first to run first. */
export function parkedKey(prefix: string, tenant: string): string {
  return `${prefix}:parked:${tenant}`;
}

/** BullMQ's hash of a job. `facts` is ours: what a list is filtered by and never changes, as JSON. */
export function jobKey(prefix: string, id: string): string {
  return `${prefix}:${JOBS_QUEUE}:${id}`;
}

/** A job's place in the index. @param createdAtMs 13 digits until the year 2286. */
export function memberOf(createdAtMs: number, id: string): string {
  return `${createdAtMs}:${id}`;
}

export function idOf(member: string): string {
  return member.slice(member.indexOf(':') + 1);
}

/** The digest of the request that was posted with an `Idempotency-Key`. @param keyDigest of the client's key. */
export function idempotencyKey(prefix: string, keyDigest: string): string {
  return `${prefix}:idempotency:${keyDigest}`;
}

/** Hash of a tenant's webhook endpoints: id to JSON, secrets included. */
export function endpointsKey(prefix: string, tenant: string): string {
  return `${prefix}:webhook-endpoints:${tenant}`;
}

/** Stream of the tries to send something to an endpoint, or to a job's own webhook. */
export function deliveriesKey(prefix: string, receiverId: string): string {
  return `${prefix}:deliveries:${receiverId}`;
}

/** There while a `job.progress` of that job is on its way to that receiver. */
export function sendingKey(prefix: string, jobId: string, receiverId: string): string {
  return `${prefix}:sending:${jobId}:${receiverId}`;
}

/** The stream of what happened to a job, and the channel that says when there is more. */
export function eventsKey(prefix: string, id: string): string {
  return `${prefix}:events:${id}`;
}

/** Hash of all API keys: records as JSON by their id. */
export function apiKeysKey(prefix: string): string {
  return `${prefix}:api-keys`;
}

/** Another value behind every change of the hash, so that whoever has read it can see that it is still the same. */
export function apiKeysVersionKey(prefix: string): string {
  return `${prefix}:api-keys:version`;
}
