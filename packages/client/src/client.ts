import {
  type ArtifactList,
  ENDED_STATUSES,
  type Job,
  type JobList,
  type JobLogLine,
  type JobRequestInput,
  type JobSummary,
  type JobStatus,
  type Plan,
  type Scenario,
  type WebhookDeliveryList,
  type WebhookEndpoint,
  type WebhookEndpointChange,
  type WebhookEndpointList,
  type WebhookEndpointRequestInput,
  type WebhookEndpointWithSecret,
} from '@headstart/contracts';
import { setTimeout as delay } from 'node:timers/promises';
import { type ArtifactDownload, type ArtifactOptions, downloadArtifact } from './artifacts.js';
import { followJob, type FollowedEvent, type FollowOptions, OUTAGE_LIMIT_MS } from './follow-job.js';
import { type Call, type CallOptions, isOutage, textOf, Transport } from './transport.js';

export interface WaitOptions extends CallOptions {
  /** Called with the job after every look at it, the last one included. */
  onUpdate?(job: Job): void;
  /** Time between two looks; 1000 by default. */
  intervalMs?: number;
}

export interface ClientOptions {
  /** `hs_...`, of a service that has keys. */
  apiKey?: string | undefined;
}

export interface SubmitOptions extends CallOptions {
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

/**
 * Talks to the HTTP API. Every method rejects with AppError: the one the service answered with, or `internal_error`
 * where no answer came.
 */
export class HeadstartClient {
  readonly baseUrl: string;
  readonly #transport: Transport;

  /** @param baseUrl for example `http://127.0.0.1:3000` */
  constructor(baseUrl: string, { apiKey }: ClientOptions = {}) {
    this.#transport = new Transport(baseUrl, apiKey);
    this.baseUrl = this.#transport.baseUrl;
  }

  /** With the same `idempotencyKey` it can be called again and again, and makes one job. */
  createJob(request: JobRequestInput, options: SubmitOptions = {}): Promise<Job> {
    return this.#transport.send<Job>('POST', '/jobs', { body: request, ...submission(options) });
  }

  /** What the job would do, without queueing it. */
  dryRun(request: JobRequestInput, options: CallOptions = {}): Promise<Plan> {
    return this.#transport.send<Plan>('POST', '/jobs?dryRun=true', { ...options, body: request });
  }

  /** One page of the jobs, newest first. */
  listJobs(
    filter: JobFilter & { limit?: number; cursor?: string } = {},
    options: CallOptions = {},
  ): Promise<JobList> {
    const query = new URLSearchParams();
    for (const name of ['limit', 'cursor'] as const)
      if (filter[name] !== undefined) query.set(name, String(filter[name]));
    for (const name of ['status', 'scenario'] as const)
      for (const value of filter[name] ?? []) query.append(name, value);
    for (const [name, value] of Object.entries(filter.metadata ?? {}))
      query.append('metadata', `${name}=${value}`);
    return this.#transport.send<JobList>('GET', `/jobs?${query.toString()}`, options);
  }

  /** All jobs, newest first, page by page as they are used. */
  async *eachJob(filter: JobFilter = {}, options: CallOptions = {}): AsyncGenerator<JobSummary> {
    let cursor: string | null = null;
    do {
      const place = { limit: 100, ...(cursor !== null && { cursor }) };
      const page: JobList = await this.listJobs({ ...filter, ...place }, options);
      yield* page.jobs;
      cursor = page.nextCursor;
    } while (cursor !== null);
  }

  getJob(id: string, options: CallOptions = {}): Promise<Job> {
    return this.#transport.send<Job>('GET', pathOf(id), options);
  }

  /** A running job is still `running` in the answer, until its worker has let go of it. */
  cancelJob(id: string, options: CallOptions = {}): Promise<Job> {
    return this.#transport.send<Job>('POST', `${pathOf(id)}/cancel`, options);
  }

  /** Ends training at the next step, and has the model published as it is by then. */
  finishJob(id: string, options: CallOptions = {}): Promise<Job> {
    return this.#transport.send<Job>('POST', `${pathOf(id)}/finish`, options);
  }

  /** Runs a job that failed or was canceled again, as a new job. */
  retryJob(id: string, options: SubmitOptions = {}): Promise<Job> {
    return this.#transport.send<Job>('POST', `${pathOf(id)}/retry`, submission(options));
  }

  /**
   * What happens to a job, from its beginning to its end: `for await` ends with the job. Where the connection is lost, it goes on
   * behind the last event, and bears outages of up to a minute.
   */
  followJob(id: string, options: FollowOptions = {}): AsyncGenerator<FollowedEvent> {
    return followJob(this.#transport, id, options);
  }

  /** The lines of the job's log so far, the oldest first. */
  async *readLogs(id: string, { signal }: CallOptions = {}): AsyncGenerator<JobLogLine> {
    const path = `${pathOf(id)}/logs`;
    const response = await this.#transport.open('GET', path, { ...(signal && { signal }) });
    let rest = '';
    for await (const text of textOf(response, `GET ${path}`, signal)) {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) yield JSON.parse(line) as JobLogLine;
    }
  }

  /** Every file in the job's folder, with where to GET it. */
  async listArtifacts(id: string, options: CallOptions = {}): Promise<ArtifactList['artifacts']> {
    const { artifacts } = await this.#transport.send<ArtifactList>('GET', `${pathOf(id)}/artifacts`, options);
    return artifacts.map((file) => ({
      ...file,
      url: file.url.startsWith('/') ? this.baseUrl + file.url : file.url,
    }));
  }

  /** One of the job's files, or a range of it, as a stream. @param path as `listArtifacts` has it, for example `model/model.json`. */
  downloadArtifact(id: string, path: string, options: ArtifactOptions = {}): Promise<ArtifactDownload> {
    return downloadArtifact(this.#transport, id, path, options);
  }

  /** Removes a job that has ended, and with `files` everything in its folder. */
  async deleteJob(
    id: string,
    { files = false, ...options }: CallOptions & { files?: boolean } = {},
  ): Promise<void> {
    await this.#transport.send('DELETE', `${pathOf(id)}?files=${files}`, options);
  }

  /** Looks at the job until it has ended, whichever way, and bears outages of up to a minute. */
  async waitForJob(id: string, options: WaitOptions = {}): Promise<Job> {
    const { onUpdate, signal, intervalMs = 1000 } = options;
    let awaySince: number | null = null;
    for (;;) {
      signal?.throwIfAborted();
      const askedAt = Date.now();
      try {
        const job = await this.getJob(id, signal ? { signal } : {});
        awaySince = null;
        onUpdate?.(job);
        if (ENDED_STATUSES.includes(job.status)) return job;
      } catch (error) {
        // Not since the last answer, behind which there may be a longer interval.
        awaySince ??= askedAt;
        if (!isOutage(error) || Date.now() - awaySince > OUTAGE_LIMIT_MS) throw error;
      }
      await delay(intervalMs, undefined, signal ? { signal } : {});
    }
  }

  /** The answer has the secret that signs what is sent to the webhook; it is shown this once. */
  createWebhook(
    request: WebhookEndpointRequestInput,
    options: CallOptions = {},
  ): Promise<WebhookEndpointWithSecret> {
    const call = { ...options, body: request };
    return this.#transport.send<WebhookEndpointWithSecret>('POST', '/webhooks', call);
  }

  /** All of the tenant's, oldest first. */
  async listWebhooks(options: CallOptions = {}): Promise<WebhookEndpoint[]> {
    return (await this.#transport.send<WebhookEndpointList>('GET', '/webhooks', options)).webhooks;
  }

  getWebhook(id: string, options: CallOptions = {}): Promise<WebhookEndpoint> {
    return this.#transport.send<WebhookEndpoint>('GET', webhookPathOf(id), options);
  }

  /** What the change leaves out stays as it is. */
  updateWebhook(
    id: string,
    change: WebhookEndpointChange,
    options: CallOptions = {},
  ): Promise<WebhookEndpoint> {
    const call = { ...options, body: change };
    return this.#transport.send<WebhookEndpoint>('PATCH', webhookPathOf(id), call);
  }

  /** The answer has the new secret; the one before signs beside it for 24 hours. */
  rotateWebhookSecret(id: string, options: CallOptions = {}): Promise<WebhookEndpointWithSecret> {
    const rotate = `${webhookPathOf(id)}/rotate-secret`;
    return this.#transport.send<WebhookEndpointWithSecret>('POST', rotate, options);
  }

  /** One page of the tries to send something to a webhook, newest first. */
  listWebhookDeliveries(
    id: string,
    page: DeliveryPage = {},
    options: CallOptions = {},
  ): Promise<WebhookDeliveryList> {
    return this.#listDeliveries(webhookPathOf(id), page, options);
  }

  /** The same of a job's own webhook. */
  listJobDeliveries(
    id: string,
    page: DeliveryPage = {},
    options: CallOptions = {},
  ): Promise<WebhookDeliveryList> {
    return this.#listDeliveries(pathOf(id), page, options);
  }

  /** Has an event sent to a webhook once more. @param webhookId of the event, from a delivery. */
  async replayWebhookDelivery(id: string, webhookId: string, options: CallOptions = {}): Promise<void> {
    await this.#replay(webhookPathOf(id), webhookId, options);
  }

  /** The same for a job's own webhook. */
  async replayJobDelivery(id: string, webhookId: string, options: CallOptions = {}): Promise<void> {
    await this.#replay(pathOf(id), webhookId, options);
  }

  async deleteWebhook(id: string, options: CallOptions = {}): Promise<void> {
    await this.#transport.send('DELETE', webhookPathOf(id), options);
  }

  #listDeliveries(
    path: string,
    { limit, cursor }: DeliveryPage,
    options: CallOptions,
  ): Promise<WebhookDeliveryList> {
    const query = new URLSearchParams();
    if (limit !== undefined) query.set('limit', String(limit));
    if (cursor !== undefined) query.set('cursor', cursor);
    const deliveries = `${path}/deliveries?${query.toString()}`;
    return this.#transport.send<WebhookDeliveryList>('GET', deliveries, options);
  }

  async #replay(path: string, webhookId: string, options: CallOptions): Promise<void> {
    const replay = `${path}/deliveries/${encodeURIComponent(webhookId)}/replay`;
    await this.#transport.send('POST', replay, options);
  }
}

function pathOf(id: string): string {
  return `/jobs/${encodeURIComponent(id)}`;
}

function webhookPathOf(id: string): string {
  return `/webhooks/${encodeURIComponent(id)}`;
}

function submission({ idempotencyKey, ...options }: SubmitOptions): Call {
  return {
    ...options,
    ...(idempotencyKey !== undefined && { headers: { 'idempotency-key': idempotencyKey } }),
  };
}
