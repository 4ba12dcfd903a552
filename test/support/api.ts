import { type ApiConfig, buildApp, buildDocument, readConfig } from '@headstart/api';
import { ERRORS, Problem } from '@headstart/contracts';
import { createRedis } from '@headstart/queue';
import { createStores } from '@headstart/storage';
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { pino } from 'pino';
import { expect } from 'vitest';
import { openQueueParts, type QueueParts } from './queue.js';

type Ask = InjectOptions & { url: string };

export interface TestApi {
  app: FastifyInstance;
  config: ApiConfig;
  /** The API's own connection, to await its events. */
  redis: ReturnType<typeof createRedis>;
  /** The same queues over a connection that no fault of the test touches. */
  queue: QueueParts;
  /** The allowed root, a folder of this test. */
  root: string;
  log: Record<string, unknown>[];
  /** Sends one request and checks that openapi.yaml describes the answer. */
  ask(options: Ask): Promise<Answer>;
  post(body: unknown, query?: string): Promise<Answer>;
  close(): Promise<void>;
}

export interface Answer {
  status: number;
  body: Record<string, unknown>;
  headers: LightMyRequestResponse['headers'];
  ms: number;
}

/** Builds the app as its main does, with a queue prefix and an allowed folder of its own. */
export async function startApi(
  redisUrl: string,
  {
    env = {},
    apiRedisUrl = redisUrl,
  }: { env?: Record<string, string | undefined>; apiRedisUrl?: string } = {},
): Promise<TestApi> {
  // The AWS SDK takes its credentials from the environment itself; the store they are for is away.
  process.env['AWS_ACCESS_KEY_ID'] ??= 'test';
  process.env['AWS_SECRET_ACCESS_KEY'] ??= 'test';
  const root = await mkdtemp(join(tmpdir(), 'headstart-api-'));
  const queue = openQueueParts(redisUrl);
  const config = readConfig({
    REDIS_URL: apiRedisUrl,
    QUEUE_PREFIX: queue.prefix,
    OUTPUT_URI: folderUri(join(root, 'output')),
    FILE_ROOTS: root,
    WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
    // A port that nothing listens on: an S3 store that is away.
    S3_ENDPOINT: 'http://127.0.0.1:1',
    ...env,
  });
  const log: Record<string, unknown>[] = [];
  const logger = pino(
    { level: 'info' },
    { write: (line: string) => log.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const redis = createRedis(config.redisUrl, 'api');
  const stores = createStores(config.storage);
  const app = await buildApp(config, { redis, stores, logger });

  const ask = async (options: Ask): Promise<Answer> => {
    const startMs = performance.now();
    const response = await app.inject(options);
    const ms = performance.now() - startMs;
    expect(response.headers['x-request-id']).toBeTruthy();
    const body = response.body === '' ? {} : response.json<Record<string, unknown>>();
    await expectDocumented(options, response, body);
    return { status: response.statusCode, body, headers: response.headers, ms };
  };
  return {
    app,
    config,
    redis,
    queue,
    root,
    log,
    ask,
    post: (body, query = '') =>
      ask({ method: 'POST', url: `/jobs${query}`, payload: body as NonNullable<InjectOptions['payload']> }),
    async close() {
      await app.close();
      redis.disconnect();
      stores.close();
      await queue.close();
      await rm(root, { recursive: true });
    },
  };
}

/** Makes a data set of empty files: enough to be listed. */
export async function makeFolders(folder: string, classes: string[]): Promise<string> {
  for (const name of classes) {
    await mkdir(join(folder, name), { recursive: true });
    await writeFile(join(folder, name, '1.jpg'), '');
  }
  return folderUri(folder);
}

export function folderUri(folder: string): string {
  return `${pathToFileURL(folder).href}/`;
}

const documentOnce = (() => {
  let document: ReturnType<typeof buildDocument> | undefined;
  return () => (document ??= buildDocument());
})();

interface DocumentedResponse {
  description: string;
  content?: Record<string, unknown>;
}

async function expectDocumented(
  { url, method = 'GET' }: Ask,
  response: LightMyRequestResponse,
  body: Record<string, unknown>,
): Promise<void> {
  const isProblem = String(response.headers['content-type']).startsWith('application/problem+json');
  expect(isProblem).toBe(response.statusCode >= 400);
  if (isProblem) {
    const problem = Problem.strict().parse(body);
    expect(problem.status).toBe(response.statusCode);
    expect(problem.status).toBe(ERRORS[problem.code].status);
    expect(problem.type).toBe(`urn:headstart:error:${problem.code}`);
    expect(problem.requestId).toBe(response.headers['x-request-id']);
  }
  // Answers that belong to no operation; the document's text describes them.
  if (body['code'] === 'route_not_found' || body['code'] === 'method_not_allowed') return;
  const path = url.split('?', 1)[0] ?? '';
  if (path.includes('%')) return;
  const { paths = {} } = await documentOnce();
  const template = path
    .replace(/^\/(jobs|webhooks)\/[^/]+/, '/$1/{id}')

    .replace(/artifacts\/.+$/, 'artifacts/{path}')
    .replace(/deliveries\/[^/]+/, 'deliveries/{webhookId}');
  const operation = paths[template]?.[method.toLowerCase() as 'get' | 'post' | 'patch' | 'delete'];
  const documented = operation?.responses?.[response.statusCode] as DocumentedResponse | undefined;
  expect(documented, `${method} ${template} -> ${response.statusCode}`).toBeDefined();
  const mediaTypes = Object.keys(documented?.content ?? {});
  if ([204, 307].includes(response.statusCode)) expect([mediaTypes, response.body]).toEqual([[], '']);
  else expect(mediaTypes).toContain(String(response.headers['content-type']).split(';')[0]);
  if (isProblem) expect(documented?.description).toContain(`\`${String(body['code'])}\``);
}
