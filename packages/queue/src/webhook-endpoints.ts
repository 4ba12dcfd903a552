import { randomBytes, randomUUID } from 'node:crypto';
import {
  AppError,
  MAX_WEBHOOK_ENDPOINTS,
  type WebhookEndpoint,
  type WebhookEndpointRequest,
} from '@headstart/contracts';
import { deliveriesKey, endpointsKey } from './keys.js';
import type { QueueParts } from './parts.js';

/**
 * A tenant's endpoint as Redis keeps it, its secrets readable, as each webhook is signed with them. Only the answers that make a secret
 * show it: the schema of every other leaves it out.
 */
export interface StoredEndpoint extends WebhookEndpoint {
  secret: string;
  /** Those before it, newest first; after `until`, an ISO time, they sign no more. */
  previousSecrets: { secret: string; until: string }[];
}

/** How long a receiver has to take over a new secret. */
const ROTATION_MS = 24 * 3600 * 1000;
/** Of an endpoint at a time: each makes the headers longer. */
const MAX_SECRETS = 10;

const ADD = `
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])`;

const SWAP = `
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1`;

type Parts = Pick<QueueParts, 'redis' | 'prefix'>;

/** @throws AppError('webhook_limit') */
export async function createEndpoint(
  { redis, prefix }: Parts,
  tenant: string,
  request: WebhookEndpointRequest,
): Promise<StoredEndpoint> {
  const now = new Date().toISOString();
  const endpoint: StoredEndpoint = {
    id: randomUUID(),
    ...request,
    disabledReason: null,
    createdAt: now,
    updatedAt: now,
    secret: newSecret(),
    previousSecretExpiresAt: null,
    previousSecrets: [],
  };
  const key = endpointsKey(prefix, tenant);
  const added = await redis.eval(ADD, 1, key, endpoint.id, JSON.stringify(endpoint), MAX_WEBHOOK_ENDPOINTS);
  if (added === 1) return endpoint;
  throw new AppError(
    'webhook_limit',
    `There are ${MAX_WEBHOOK_ENDPOINTS} webhooks already, as many as there may be. Remove one, or change one.`,
    { details: { limit: MAX_WEBHOOK_ENDPOINTS } },
  );
}

/** @returns the oldest first. */
export async function listEndpoints({ redis, prefix }: Parts, tenant: string): Promise<StoredEndpoint[]> {
  const stored = await redis.hvals(endpointsKey(prefix, tenant));
  return stored
    .map((text) => JSON.parse(text) as StoredEndpoint)
    .toSorted((a, b) => (a.createdAt + a.id < b.createdAt + b.id ? -1 : 1));
}

/** @returns null where the tenant has no such endpoint. */
export async function findEndpoint(
  { redis, prefix }: Parts,
  tenant: string,
  id: string,
): Promise<StoredEndpoint | null> {
  const stored = await redis.hget(endpointsKey(prefix, tenant), id);
  return stored === null ? null : (JSON.parse(stored) as StoredEndpoint);
}

/** @throws AppError('webhook_not_found') */
export async function getEndpoint(parts: Parts, tenant: string, id: string): Promise<StoredEndpoint> {
  const endpoint = await findEndpoint(parts, tenant, id);
  if (endpoint) return endpoint;
  throw webhookNotFound(id);
}

/** @param change called with the endpoint as it is. @returns the endpoint as it is then. @throws AppError('webhook_not_found') */
export async function updateEndpoint(
  { redis, prefix }: Parts,
  tenant: string,
  id: string,
  change: (endpoint: StoredEndpoint) => Partial<StoredEndpoint>,
): Promise<StoredEndpoint> {
  const key = endpointsKey(prefix, tenant);
  for (;;) {
    const before = await redis.hget(key, id);
    if (before === null) throw webhookNotFound(id);
    const endpoint = JSON.parse(before) as StoredEndpoint;
    const after: StoredEndpoint = { ...endpoint, ...change(endpoint), updatedAt: new Date().toISOString() };
    if ((await redis.eval(SWAP, 1, key, id, before, JSON.stringify(after))) === 1) return after;
  }
}

/** Makes a new secret; the one before signs beside it for a day. @throws AppError('webhook_not_found') */
export function rotateSecret(parts: Parts, tenant: string, id: string): Promise<StoredEndpoint> {
  return updateEndpoint(parts, tenant, id, ({ secret, previousSecrets }) => {
    const nowMs = Date.now();
    const until = new Date(nowMs + ROTATION_MS).toISOString();
    const valid = previousSecrets.filter((previous) => Date.parse(previous.until) > nowMs);
    return {
      secret: newSecret(),
      previousSecretExpiresAt: until,
      previousSecrets: [{ secret, until }, ...valid].slice(0, MAX_SECRETS - 1),
    };
  });
}

/** What a webhook is signed with at that time, the newest first. */
export function signingSecrets({ secret, previousSecrets }: StoredEndpoint, now: Date): string[] {
  const valid = previousSecrets.filter(({ until }) => Date.parse(until) > now.getTime());
  return [secret, ...valid.map((previous) => previous.secret)];
}

/** Its log goes with it; what is queued for it is dropped when its turn comes. @throws AppError('webhook_not_found') */
export async function removeEndpoint({ redis, prefix }: Parts, tenant: string, id: string): Promise<void> {
  if ((await redis.hdel(endpointsKey(prefix, tenant), id)) === 0) throw webhookNotFound(id);
  await redis.del(deliveriesKey(prefix, id));
}

/** 32 bytes: as long as the hash that is made with them. */
function newSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`;
}

function webhookNotFound(id: string): AppError {
  return new AppError('webhook_not_found', `There is no webhook "${id}".`);
}
