import { AppError, DEFAULT_TENANT, type ObjectStores } from '@headstart/contracts';
import type { JobPayload } from '@headstart/queue';
import { isBelowAny, outsidePrefixes } from '@headstart/storage';
import type { ApiConfig } from '../config.js';
import type { Caller } from './caller.js';

type Outputs = Pick<ApiConfig, 'outputUri'>;

/** Where the jobs of a caller make their folders if they name no other, with a slash at its end. */
export function defaultOutputUri({ tenant }: Caller, { outputUri }: Outputs): string {
  // Without tenants there is nobody to keep apart.
  return tenant === DEFAULT_TENANT ? outputUri : `${outputUri}${tenant}/`;
}

/**
 * The `s3://` and `file://` URIs that a caller's jobs may use, with all that is below: the worker's credentials and disks are not
 * everyone's. What the tenant's own jobs leave by default, its jobs may use too.
 * @returns null where there is no limit.
 */
export function allowedUris(caller: Caller, outputs: Outputs): string[] | null {
  if (caller.uriPrefixes === null) return null;
  const isTenantsOwn = caller.tenant !== DEFAULT_TENANT;
  return [...caller.uriPrefixes, ...(isTenantsOwn ? [defaultOutputUri(caller, outputs)] : [])];
}

/**
 * Checks that a caller's jobs may use what a URI names, as far as the URI shows it. Web addresses are no matter of prefixes.
 * @throws AppError('uri_forbidden') naming the field.
 */
export function checkUri(field: string, uri: string, caller: Caller, outputs: Outputs): void {
  const allowed = allowedUris(caller, outputs);
  if (allowed === null || uri.startsWith('https:') || isBelowAny(uri, allowed)) return;
  const { code, message } = outsidePrefixes(uri, allowed);
  throw new AppError(code, `${field}: ${message}`, {
    errors: [{ field, message: 'is not within what the key may use', received: uri, allowed }],
  });
}

/**
 * The stores for a caller to use a job's own folder by. It may be in a place where others than workers can put links, so these lead
 * nowhere that the job might not use, nor the caller. The folder itself is the tenant's, whichever of its keys the job was posted with.
 */
export function storesForFiles(
  { stores, config }: { stores: ObjectStores; config: Outputs },
  { uriPrefixes, outputUri }: Pick<JobPayload, 'uriPrefixes' | 'outputUri'>,
  caller: Caller,
): ObjectStores {
  const allowed = allowedUris(caller, config);
  return stores.within(uriPrefixes ?? null).within(allowed && [...allowed, outputUri]);
}
