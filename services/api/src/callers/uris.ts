import { AppError, DEFAULT_TENANT } from '@headstart/contracts';
import { isBelowAny } from '@headstart/storage';
import type { ApiConfig } from '../config.js';
import type { Caller } from './caller.js';

type Outputs = Pick<ApiConfig, 'outputUri'>;

/** Where the jobs of a caller make their folders if they name no other, with a slash at its end. */
export function defaultOutputUri({ tenant }: Caller, { outputUri }: Outputs): string {
  // Without tenants there is nobody to keep apart.
  return tenant === DEFAULT_TENANT ? outputUri : `${outputUri}${tenant}/`;
}

/**
 * Checks that a caller's jobs may use what a URI names: the worker's credentials and disks are not everyone's. Web addresses are no
 * matter of prefixes. What the tenant's own jobs leave by default, its jobs may use too.
 * @throws AppError('uri_forbidden') naming the field.
 */
export function checkUri(field: string, uri: string, caller: Caller, outputs: Outputs): void {
  if (caller.uriPrefixes === null || uri.startsWith('https:')) return;
  const isTenantsOwn = caller.tenant !== DEFAULT_TENANT;
  const allowed = [...caller.uriPrefixes, ...(isTenantsOwn ? [defaultOutputUri(caller, outputs)] : [])];
  if (isBelowAny(uri, allowed)) return;
  throw new AppError(
    'uri_forbidden',
    `${field}: ${uri} is not within what this key may use: ${allowed.join(', ')}. Use a folder or file below one of these, without "." and ".." in its path.`,
    { errors: [{ field, message: 'is not within what the key may use', received: uri, allowed }] },
  );
}
