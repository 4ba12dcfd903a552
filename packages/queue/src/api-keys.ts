import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { Quotas, Role, TenantName } from '@headstart/contracts';
import { z } from 'zod';
import { apiKeysKey, apiKeysVersionKey } from './keys.js';
import type { QueueParts } from './parts.js';

/** What a key stands for. */
export const Grant = z.object({
  tenant: TenantName,
  /** For people: whose key it is, or what it is for. */
  name: z.string().min(1).max(100),
  role: Role,
  quotas: Quotas,
  /** `s3://` and `file://` folders that jobs may use; null where there is no limit. */
  uriPrefixes: z.array(z.string()).nullable(),
});
export type Grant = z.infer<typeof Grant>;

/** What is kept of a key, which is not the key. */
export const ApiKey = Grant.extend({
  id: z.string(),
  digest: z.string(),
  createdAt: z.iso.datetime(),
  /** One that was revoked is kept: that there are keys, and what for, is not forgotten with the last of them. */
  revokedAt: z.iso.datetime().nullable(),
});
export type ApiKey = z.infer<typeof ApiKey>;

export interface ApiKeys {
  /** Another one behind every change. */
  version: string;
  keys: ApiKey[];
}

type Parts = Pick<QueueParts, 'redis' | 'prefix'>;

/** What every key begins with, so that people and scanners know one when they see it. */
const KEY_MARK = 'hs_';
const SECRET_BYTES = 32;

/** Whether a text can be a key at all, as what a gateway sends for itself cannot. */
export function isKeyShaped(text: string): boolean {
  return /^hs_[\w-]{43}$/.test(text);
}

/**
 * SHA-256 of a key, in hex: all that is kept of it.
 *
 * Slow hashes (bcrypt, Argon2) are for passwords, which people choose and others try out. A key is 256 random bits: nobody tries
 * them out however fast the hash is, and every request can afford this one. Nor does looking a digest up in a table tell a
 * client anything by the time it takes: what it would learn is about a digest that it cannot choose.
 */
export function digestOf(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

/** Makes a key. @returns the key itself, which is not kept: nobody can be shown it again. */
export async function createApiKey(parts: Parts, grant: Grant): Promise<{ key: string; record: ApiKey }> {
  const key = KEY_MARK + randomBytes(SECRET_BYTES).toString('base64url');
  const record = {
    ...grant,
    id: randomBytes(8).toString('hex'),
    digest: digestOf(key),
    createdAt: new Date().toISOString(),
    revokedAt: null,
  };
  await writeApiKey(parts, record);
  return { key, record };
}

/** @returns the key's record as it is now, or null where there is no such key. One that is revoked already stays as it is. */
export async function revokeApiKey(parts: Parts, id: string): Promise<ApiKey | null> {
  const stored = await parts.redis.hget(apiKeysKey(parts.prefix), id);
  if (stored === null) return null;
  const record = ApiKey.parse(JSON.parse(stored));
  if (record.revokedAt !== null) return record;
  const revoked = { ...record, revokedAt: new Date().toISOString() };
  await writeApiKey(parts, revoked);
  return revoked;
}

async function writeApiKey({ redis, prefix }: Parts, record: ApiKey): Promise<void> {
  const results = await redis
    .multi()
    .hset(apiKeysKey(prefix), record.id, JSON.stringify(record))
    .set(apiKeysVersionKey(prefix), randomUUID())
    .exec();
  for (const [error] of results ?? []) if (error) throw error;
}

/** Every key that was ever made, the oldest first. @param known a version: where it is still the one, the answer is null. */
export async function readApiKeys({ redis, prefix }: Parts, known: string | null): Promise<ApiKeys | null> {
  // The version first: keys that change in between are read again the next time.
  const version = (await redis.get(apiKeysVersionKey(prefix))) ?? 'none';
  if (version === known) return null;
  const stored = Object.values(await redis.hgetall(apiKeysKey(prefix)));
  const keys = stored.map((text) => ApiKey.parse(JSON.parse(text)));
  return { version, keys: keys.toSorted((a, b) => (a.createdAt < b.createdAt ? -1 : 1)) };
}
