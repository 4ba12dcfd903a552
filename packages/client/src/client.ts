import {
  AppError,
  type ArtifactList,
  ENDED_STATUSES,
  type Job,
  type JobList,
  type JobRequestInput,
  type JobSummary,
  type JobStatus,
  type Plan,
  Problem,
  type Scenario,
  type WebhookDeliveryList,
  type WebhookEndpoint,
  type WebhookEndpointChange,
  type WebhookEndpointList,
  type WebhookEndpointRequestInput,
  type WebhookEndpointWithSecret,
} from '@headstart/contracts';
import { setTimeout as delay } from 'node:timers/promises';

export interface WaitOptions {
  /** Called with the job after every look at it, the last one included. */
  onUpdate?(job: Job): void;
  /** Ends the waiting, not the job: the promise rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Time between two looks; 1000 by default. */
  intervalMs?: number;
}

export interface ClientOptions {
  /** `hs_...`, of a service that has keys. */
  apiKey?: string;
}

export interface SubmitOptions {
  /** 1 to 255 visible ASCII characters, new for every job that is wanted. */
  idempotencyKey?: string;
}

/** What a list of jobs is filtered by. */
export interface JobFilter {
  /** Only jobs of one of these. */
  status?: readonly JobStatus[];
  scenario?: readonly Scenario[];
  /** Only jobs that have all of these entries. */
  metadata?: Readonly<Record<string, string>>;
}

export interface DeliveryPage {
  limit?: number;
  /** `nextCursor` of the page before. */
  cursor?: string;
}

/** How long waitForJob bears a service that does not answer, for example while it is restarted. */
const OUTAGE_LIMIT_MS = 60_000;

/**
 * Talks to the HTTP API. Every method rejects with AppError: the one the service answered with, or `internal_error`
 * where no answer came.
 */
export class HeadstartClient {
  readonly baseUrl: string;

  /** Private, so that whoever prints the client does not print the key. */
  readonly #apiKey: string | undefined;

  /** @param baseUrl for example `http://127.0.0.1:3000` */
  constructor(baseUrl: string, { apiKey }: ClientOptions = {}) {
    this.baseUrl = baseUrl.replace(/\/+$/, '');
    this.#apiKey = apiKey;
  }

  /** With the same `idempotencyKey` it can be called again and again, and makes one job. */
  createJob(request: JobRequestInput, options: SubmitOptions = {}): Promise<Job> {
    return this.#send<Job>('POST', '/jobs', { body: request, ...options });
  }

  /** What the job would do, without queueing it. */
  dryRun(request: JobRequestInput): Promise<Plan> {
    return this.#send<Plan>('POST', '/jobs?dryRun=true', { body: request });
  }

  /** One page of the jobs, newest first. */
  listJobs(filter: JobFilter & { limit?: number; cursor?: string } = {}): Promise<JobList> {
    const query = new URLSearchParams();
    for (const name of ['limit', 'cursor'] as const)
      if (filter[name] !== undefined) query.set(name, String(filter[name]));
    for (const name of ['status', 'scenario'] as const)
      for (const value of filter[name] ?? []) query.append(name, value);
    for (const [name, value] of Object.entries(filter.metadata ?? {}))
      query.append('metadata', `${name}=${value}`);
    return this.#send<JobList>('GET', `/jobs?${query.toString()}`);
  }

  /** All jobs, newest first, page by page as they are used. */
  async *eachJob(filter: JobFilter = {}): AsyncGenerator<JobSummary> {
    let cursor: string | null = null;
    do {
      const page: JobList = await this.listJobs({
        ...filter,
        limit: 100,
        ...(cursor !== null && { cursor }),
      });
      yield* page.jobs;
      cursor = page.nextCursor;
    } while (cursor !== null);
  }

  getJob(id: string, signal?: AbortSignal): Promise<Job> {
    return this.#send<Job>('GET', `/jobs/${encodeURIComponent(id)}`, signal ? { signal } : {});
  }

  /** A running job is still `running` in the answer, until its worker has let go of it. */
  cancelJob(id: string): Promise<Job> {
    return this.#send<Job>('POST', `/jobs/${encodeURIComponent(id)}/cancel`);
  }

  /** Ends training at the next step, and has the model published as it is by then. */
  finishJob(id: string): Promise<Job> {
    return this.#send<Job>('POST', `/jobs/${encodeURIComponent(id)}/finish`);
  }

  /** Runs a job that failed or was canceled again, as a new job. */
  retryJob(id: string, options: SubmitOptions = {}): Promise<Job> {
    return this.#send<Job>('POST', `/jobs/${encodeURIComponent(id)}/retry`, options);
  }

  /** Every file in the job's folder, with where to GET it. */
  async listArtifacts(id: string): Promise<ArtifactList['artifacts']> {
    const path = `/jobs/${encodeURIComponent(id)}/artifacts`;
    const { artifacts } = await this.#send<ArtifactList>('GET', path);
    return artifacts.map((file) => ({ ...file, url: new URL(file.url, this.baseUrl).href }));
  }

  /** Removes a job that has ended, and with `files` everything in its folder. */
  async deleteJob(id: string, { files = false }: { files?: boolean } = {}): Promise<void> {
    await this.#send('DELETE', `/jobs/${encodeURIComponent(id)}?files=${files}`);
  }

  /** Looks at the job until it has ended, whichever way, and bears outages of up to a minute. */
  async waitForJob(id: string, options: WaitOptions = {}): Promise<Job> {
    const { onUpdate, signal, intervalMs = 1000 } = options;
    let answeredAt = Date.now();
    for (;;) {
      signal?.throwIfAborted();
      try {
        const job = await this.getJob(id, signal);
        answeredAt = Date.now();
        onUpdate?.(job);
        if (ENDED_STATUSES.includes(job.status)) return job;
      } catch (error) {
        const isOutage = error instanceof AppError && error.retryable;
        if (!isOutage || Date.now() - answeredAt > OUTAGE_LIMIT_MS) throw error;
      }
      await delay(intervalMs, undefined, signal ? { signal } : {});
    }
  }

  /** The answer has the secret that signs what is sent to the webhook; it is shown this once. */
  createWebhook(request: WebhookEndpointRequestInput): Promise<WebhookEndpointWithSecret> {
    return this.#send<WebhookEndpointWithSecret>('POST', '/webhooks', { body: request });
  }

  /** All of the tenant's, oldest first. */
  async listWebhooks(): Promise<WebhookEndpoint[]> {
    return (await this.#send<WebhookEndpointList>('GET', '/webhooks')).webhooks;
  }

  getWebhook(id: string): Promise<WebhookEndpoint> {
    return this.#send<WebhookEndpoint>('GET', `/webhooks/${encodeURIComponent(id)}`);
  }

  /** What the change leaves out stays as it is. */
  updateWebhook(id: string, change: WebhookEndpointChange): Promise<WebhookEndpoint> {
    return this.#send<WebhookEndpoint>('PATCH', `/webhooks/${encodeURIComponent(id)}`, { body: change });
  }

  /** The answer has the new secret; the one before signs beside it for 24 hours. */
  rotateWebhookSecret(id: string): Promise<WebhookEndpointWithSecret> {
    return this.#send<WebhookEndpointWithSecret>('POST', `/webhooks/${encodeURIComponent(id)}/rotate-secret`);
  }

  /** One page of the tries to send something to a webhook, newest first. */
  listWebhookDeliveries(id: string, page: DeliveryPage = {}): Promise<WebhookDeliveryList> {
    return this.#listDeliveries(`/webhooks/${encodeURIComponent(id)}`, page);
  }

  /** The same of a job's own webhook. */
  listJobDeliveries(id: string, page: DeliveryPage = {}): Promise<WebhookDeliveryList> {
    return this.#listDeliveries(`/jobs/${encodeURIComponent(id)}`, page);
  }

  /** Has an event sent to a webhook once more. @param webhookId of the event, from a delivery. */
  async replayWebhookDelivery(id: string, webhookId: string): Promise<void> {
    await this.#replay(`/webhooks/${encodeURIComponent(id)}`, webhookId);
  }

  /** The same for a job's own webhook. */
  async replayJobDelivery(id: string, webhookId: string): Promise<void> {
    await this.#replay(`/jobs/${encodeURIComponent(id)}`, webhookId);
  }

  #listDeliveries(path: string, { limit, cursor }: DeliveryPage): Promise<WebhookDeliveryList> {
    const query = new URLSearchParams();
    if (limit !== undefined) query.set('limit', String(limit));
    if (cursor !== undefined) query.set('cursor', cursor);
    return this.#send<WebhookDeliveryList>('GET', `${path}/deliveries?${query.toString()}`);
  }

  async #replay(path: string, webhookId: string): Promise<void> {
    await this.#send('POST', `${path}/deliveries/${encodeURIComponent(webhookId)}/replay`);
  }

  async deleteWebhook(id: string): Promise<void> {
    await this.#send('DELETE', `/webhooks/${encodeURIComponent(id)}`);
  }

  async #send<T>(
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    path: string,
    { body, idempotencyKey, signal }: SubmitOptions & { body?: unknown; signal?: AbortSignal } = {},
  ): Promise<T> {
    const url = this.baseUrl + path;
    const response = await fetch(url, {
      method,
      headers: {
        accept: 'application/json',
        ...(this.#apiKey !== undefined && { authorization: `Bearer ${this.#apiKey}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal && { signal }),
    }).catch((cause: unknown) => {
      signal?.throwIfAborted();
      throw new AppError('internal_error', `No answer from ${url}. Is the API running there?`, { cause });
    });
    if (response.status === 204) return undefined as T;
    const answer: unknown = await response.json().catch(() => undefined);
    if (response.ok) return answer as T;
    const problem = Problem.safeParse(answer);
    if (problem.success) throw AppError.fromJobError(problem.data);
    throw new AppError(
      'internal_error',
      `${method} ${url} answered ${response.status}, not as Headstart does.`,
    );
  }
}
