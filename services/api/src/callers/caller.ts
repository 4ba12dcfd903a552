import { DEFAULT_TENANT, type Quotas, type Role } from '@headstart/contracts';

/** Who asks, as far as a request shows it: everything that a route may decide by. */
export interface Caller {
  /** Whose jobs it sees and makes. */
  tenant: string;
  role: Role;
  /** Null of a caller without a key. */
  keyId: string | null;
  quotas: Quotas;
  /** `s3://` and `file://` folders that its jobs may use; null where there is no limit. */
  uriPrefixes: readonly string[] | null;
}

/** Everybody, where there are no keys. */
export const ANONYMOUS: Caller = {
  tenant: DEFAULT_TENANT,
  role: 'admin',
  keyId: null,
  quotas: { queued: null, running: null, requestsPerMinute: null },
  uriPrefixes: null,
};
