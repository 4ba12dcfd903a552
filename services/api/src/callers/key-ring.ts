import { DEFAULT_TENANT } from '@headstart/contracts';
import { type ApiKey, type ApiKeys, digestOf, isKeyShaped } from '@headstart/queue';
import { setTimeout as delay } from 'node:timers/promises';
import type { Caller } from './caller.js';

/** How old what is known of the keys may be: within so long a revoked key is refused. */
const LOOK_AGAIN_MS = 1000;
/** A key that is not known may be new. Whoever tries others must not make Redis answer for each: those wait for one another. */
const MISSES_MS = 100;

const ANYBODY: Omit<Caller, 'dismissed'> = {
  tenant: DEFAULT_TENANT,
  role: 'admin',
  keyId: null,
  quotas: { queued: null, running: null, requestsPerMinute: null },
  uriPrefixes: null,
};

interface Entry {
  caller: Caller;
  dismiss: AbortController;
}

/**
 * All keys, as far as this process knows them. They are read before the first request that needs them, and every second from then on;
 * while Redis is away what was known stays, as nothing else can be read either.
 */
export class KeyRing {
  #entries = new Map<string, Entry>();
  #version: string | null = null;
  #hasKeys = false;
  readonly #anonymous = entryOf(ANYBODY);
  #reading: Promise<void> | null = null;
  #readAtMs = 0;
  #clock: NodeJS.Timeout | undefined;
  readonly #read: (known: string | null) => Promise<ApiKeys | null>;

  /** @param read see `readApiKeys`. */
  constructor(read: (known: string | null) => Promise<ApiKeys | null>) {
    this.#read = read;
  }

  /** Whether a key was ever made. From the first one on it stays so, whatever becomes of what Redis holds. */
  async hasKeys(): Promise<boolean> {
    if (this.#version === null) await this.refresh();
    return this.#hasKeys;
  }

  /** Who a key belongs to; null where it is unknown or revoked. One that was just made is found, the first of all too. */
  async find(key: string): Promise<Caller | null> {
    if (!isKeyShaped(key)) return null;
    const digest = digestOf(key);
    if (!this.#entries.has(digest)) {
      await delay(Math.max(0, this.#readAtMs + MISSES_MS - Date.now()));
      // One that had begun before may have missed a key that was made since.
      await this.#reading;
      await this.refresh();
    }
    return this.#entries.get(digest)?.caller ?? null;
  }

  /** Whoever asks without a key where there are none. */
  get anonymous(): Caller {
    return this.#anonymous.caller;
  }

  /** Reads what has changed. @throws AppError('queue_unavailable') */
  refresh(): Promise<void> {
    this.#clock ??= setInterval(() => {
      // It is tried again, and the queue's plugin reports the outage.
      this.refresh().catch(() => undefined);
    }, LOOK_AGAIN_MS).unref();
    this.#reading ??= this.#readChanges().finally(() => (this.#reading = null));
    return this.#reading;
  }

  close(): void {
    clearInterval(this.#clock);
  }

  async #readChanges(): Promise<void> {
    const changed = await this.#read(this.#version);
    this.#readAtMs = Date.now();
    if (changed === null) return;
    this.#version = changed.version;
    const valid = new Map(
      changed.keys.filter(({ revokedAt }) => revokedAt === null).map((key) => [key.digest, key]),
    );
    for (const [digest, { dismiss }] of this.#entries) {
      if (valid.has(digest)) continue;
      this.#entries.delete(digest);
      dismiss.abort();
    }
    for (const [digest, key] of valid)
      if (!this.#entries.has(digest)) this.#entries.set(digest, entryOf(rightsOf(key)));
    if (changed.keys.length === 0) return;
    this.#hasKeys = true;
    this.#anonymous.dismiss.abort();
  }
}

function entryOf(rights: Omit<Caller, 'dismissed'>): Entry {
  const dismiss = new AbortController();
  return { dismiss, caller: { ...rights, dismissed: dismiss.signal } };
}

function rightsOf({ id: keyId, tenant, role, quotas, uriPrefixes }: ApiKey): Omit<Caller, 'dismissed'> {
  return { keyId, tenant, role, quotas, uriPrefixes };
}
