import type { Quotas, Role } from '@headstart/contracts';

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
  /** Aborted when the caller is admitted no longer: its key is revoked, or it has none and there are keys now. */
  dismissed: AbortSignal;
}
