import { z } from 'zod';

/** Who jobs belong to in a deployment without keys, and whose all jobs are that were posted before there were tenants. */
export const DEFAULT_TENANT = 'default';

export const TenantName = z
  .string()
  .regex(
    /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
    'must be 1 to 63 of a-z, 0-9 and -, with no - at either end',
  );

/** What a key may do, each one more than the one before. */
export const ROLES = ['read', 'submit', 'admin'] as const;
export const Role = z.enum(ROLES);
export type Role = z.infer<typeof Role>;

/** Whether a role is allowed what takes another one. */
export function includesRole(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

/** Null where there is no limit. */
export const Quotas = z.object({
  /** Jobs of the tenant that wait for a worker. */
  queued: z.int().min(1).nullable(),
  /** Jobs of the tenant that run at once. */
  running: z.int().min(1).nullable(),
  /** Requests with the key, to each API process. */
  requestsPerMinute: z.int().min(1).nullable(),
});
export type Quotas = z.infer<typeof Quotas>;
