import { createApiKey, type Grant } from '@headstart/queue';
import type { Answer, TestApi } from './api.js';

export const UNLIMITED = { queued: null, running: null, requestsPerMinute: null };

type Ask = Parameters<TestApi['ask']>[0];

/** Somebody with a key. */
export interface Holder {
  key: string;
  keyId: string;
  /** Asks with the key. */
  ask(options: Ask): Promise<Answer>;
}

/** Makes a key, of a tenant's admin who may use everything unless told otherwise. */
export async function makeHolder(
  api: TestApi,
  grant: Partial<Grant> & Pick<Grant, 'tenant'>,
): Promise<Holder> {
  const { key, record } = await createApiKey(api.queue, {
    name: 'a test',
    role: 'admin',
    quotas: UNLIMITED,
    uriPrefixes: null,
    ...grant,
  });
  const ask = (options: Ask) =>
    api.ask({ ...options, headers: { ...options.headers, authorization: `Bearer ${key}` } });
  return { key, keyId: record.id, ask };
}
