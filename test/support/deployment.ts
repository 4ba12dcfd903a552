import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { HeadstartClient } from '@headstart/client';
import type { Job, JobLogLine, JobRequestInput } from '@headstart/contracts';
import { plainPicture, writeTree } from './pictures.js';
import { poll } from './poll.js';
import { LOOPBACK } from './storage.js';
import { type ApiService, killServices, type Service, startApi, startWorker } from './services.js';

export const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 5).toString('base64')}`;

/** An API of its own queue and folders, with as many workers as a test starts. */
export interface Deployment {
  api: ApiService;
  client: HeadstartClient;
  queuePrefix: string;
  folder: string;
  /** Starts another worker; each has a work folder of its own. */
  startWorker(env?: Record<string, string>): Promise<Service>;
  /** Starts one more API. */
  startApi(env?: Record<string, string>): Promise<ApiService>;
  /** Starts the API anew, on another port. */
  restartApi(): Promise<void>;
  /** Posts the small job below, changed as the test needs it. */
  post(change?: Partial<JobRequestInput>): Promise<Job>;
  /** Asks for the job until `matches`. @throws Error at the deadline, with the job as it was last. */
  waitFor(id: string, matches: (job: Job) => boolean, timeoutMs?: number): Promise<Job>;
  /** The lines of the job's log that are no mere news. */
  warningsOf(id: string): Promise<JobLogLine[]>;
  /** Kills all services and removes the folder. */
  end(): Promise<void>;
}

/** @param env more settings, of the API and of every worker. */
export async function startDeployment(
  redisUrl: string,
  env: Record<string, string> = {},
): Promise<Deployment> {
  const folder = await mkdtemp(join(tmpdir(), 'headstart-e2e-'));
  await drawTwoClasses(join(folder, 'pictures'));
  const queuePrefix = `test-${randomUUID()}`;
  const common = {
    REDIS_URL: redisUrl,
    QUEUE_PREFIX: queuePrefix,
    FILE_ROOTS: folder,
    ALLOWED_NETWORKS: LOOPBACK.join(),
    WEBHOOK_SECRET,
    ...env,
  };
  const outputUri = pathToFileURL(join(folder, 'output')).href;
  const openApi = (own: Record<string, string> = {}) =>
    startApi({ ...common, OUTPUT_URI: outputUri, ...own });
  let workers = 0;
  const api = await openApi();

  const deployment: Deployment = {
    api,
    client: new HeadstartClient(api.url),
    queuePrefix,
    folder,
    startWorker(own = {}) {
      const workDir = join(folder, `work-${++workers}`);
      return startWorker({
        ...common,
        WORK_DIR: workDir,
        CACHE_DIR: join(folder, 'cache'),
        ENGINE: 'onnxruntime',
        LOCK_DURATION_MS: '2000',
        STALLED_INTERVAL_MS: '1000',
        SHUTDOWN_GRACE_SECONDS: '60',
        WEBHOOK_RETRY_DELAYS_SECONDS: '1,1,1',
        ...own,
      });
    },
    startApi: openApi,
    async restartApi() {
      deployment.api = await openApi();
      deployment.client = new HeadstartClient(deployment.api.url);
    },
    post: (change = {}) => deployment.client.createJob(smallJob(deployment, change)),
    async waitFor(id, matches, timeoutMs = 120_000) {
      let last: Job | null = null;
      const ask = async () => {
        last = await deployment.client.getJob(id);
        return matches(last) ? last : null;
      };
      return poll(`job ${id}`, ask, timeoutMs).catch((error: unknown) => {
        throw new Error(`${String(error)}: ${JSON.stringify(last)}`, { cause: error });
      });
    },
    async warningsOf(id) {
      const lines: JobLogLine[] = [];
      for await (const line of deployment.client.readLogs(id)) if (line.level !== 'info') lines.push(line);
      return lines;
    },
    async end() {
      killServices();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  return deployment;
}

/** A job on the two classes below, random weights and pictures of 32 px: seconds, most of them a process's start. */
export function smallJob(
  { folder }: Pick<Deployment, 'folder'>,
  change: Partial<JobRequestInput> = {},
): JobRequestInput {
  return {
    datasetUri: pathToFileURL(join(folder, 'pictures/')).href,
    scenario: 'small-different',
    ...change,
    model: { weights: 'random', inputSize: 32, featureLayer: 'block1_pool', ...change.model },
    training: { epochs: 3, batchSize: 8, seed: 1, ...change.training },
  };
}

export const hasEnded = ({ status }: Job) => !['queued', 'running'].includes(status);

/** Two classes that anyone could tell apart, ten pictures each, no two alike. */
export async function drawTwoClasses(folder: string): Promise<void> {
  const files: Record<string, Buffer> = {};
  for (let i = 0; i < 10; i++) {
    files[`warm/${i}.png`] = await plainPicture({ r: 200 + i, g: 40 + i, b: 30 })
      .png()
      .toBuffer();
    files[`cold/${i}.png`] = await plainPicture({ r: 30, g: 60 + i, b: 200 + i })
      .png()
      .toBuffer();
  }
  await writeTree(folder, files);
}
