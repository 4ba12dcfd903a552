import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { HeadstartClient } from '@headstart/client';
import { AppError, type Job, type JobRequestInput } from '@headstart/contracts';

const RETRY_AFTER_MS = 200;
const GIVE_UP_AFTER_MS = 60_000;

/** A client as it is to be written: it has the addresses of several APIs, and tries again what it is told it may. */
export interface PersistentClient {
  /** Makes one job, however often it has to be posted. */
  post(request: JobRequestInput): Promise<Job>;
  get(id: string): Promise<Job>;
  list: HeadstartClient['listJobs'];
  /** Why requests were tried again, and how often. */
  retries: Map<string, number>;
}

/** Every method throws what no client could try again, and after a minute whatever it was last. */
export function createPersistentClient(urls: readonly string[]): PersistentClient {
  const clients = urls.map((url) => new HeadstartClient(url));
  const retries = new Map<string, number>();
  let turn = 0;

  async function persist<T>(ask: (client: HeadstartClient) => Promise<T>): Promise<T> {
    const deadlineMs = performance.now() + GIVE_UP_AFTER_MS;
    for (;;) {
      try {
        return await ask(clients[turn++ % clients.length]!);
      } catch (error) {
        if (!(error instanceof AppError) || !error.retryable || performance.now() > deadlineMs) throw error;
        const why = error.code === 'internal_error' ? error.message.replace(/ from .*/, '') : error.code;
        retries.set(why, (retries.get(why) ?? 0) + 1);
        await delay(RETRY_AFTER_MS);
      }
    }
  }

  return {
    retries,
    post(request) {
      const idempotencyKey = randomUUID();
      return persist((client) => client.createJob(request, { idempotencyKey }));
    },
    get: (id) => persist((client) => client.getJob(id)),
    list: (filter) => persist((client) => client.listJobs(filter)),
  };
}
