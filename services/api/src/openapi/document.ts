import { createRedis } from '@headstart/queue';
import { createStores } from '@headstart/storage';
import type { OpenAPIV3_1 } from 'openapi-types';
import { pino } from 'pino';
import { stringify } from 'yaml';
import { buildApp } from '../app.js';
import { readConfig } from '../config.js';
import { REQUEST_ID_HEADER } from '../plugins/request-id.js';
import { BODY_EXAMPLES, PARAMETER_EXAMPLES } from './examples.js';
import { describeWebhooks } from './webhooks.js';

type Document = OpenAPIV3_1.Document;

/** The OpenAPI 3.1 document of the app as it is built, with the webhooks. Connects to nothing. */
export async function buildDocument(): Promise<Document> {
  const config = readConfig({ OUTPUT_URI: 'file:///' });
  const redis = createRedis(config.redisUrl, 'api');
  const stores = createStores(config.storage);
  const app = await buildApp(config, { redis, stores, logger: pino({ level: 'silent' }) });
  try {
    await app.ready();
    const document = structuredClone(app.swagger()) as Document;
    document.webhooks = describeWebhooks();
    nameWildcards(document);
    describeHeaders(document);
    leaveFilesBare(document);
    addExamples(document);
    pruneSchemas(document);
    return document;
  } finally {
    await app.close();
    redis.disconnect();
    stores.close();
  }
}

/** openapi.yaml, byte for byte. */
export async function renderDocument(): Promise<string> {
  const header = '# Generated from packages/contracts and services/api: npm run openapi:fix\n';
  return (
    header +
    stringify(await buildDocument(), {
      lineWidth: 110,
      blockQuote: 'literal',
      aliasDuplicateObjects: false,
    })
  );
}

/** Fastify calls what is behind the last slash `*`; OpenAPI wants a name for it. */
function nameWildcards({ paths = {} }: Document): void {
  for (const [path, item] of Object.entries(paths)) {
    if (!path.endsWith('/{*}') || !item) continue;
    const parameters = [item.get, item.post, item.patch, item.delete].flatMap(
      (operation) => operation?.parameters ?? [],
    );
    for (const parameter of parameters)
      if ('name' in parameter && parameter.name === '*') parameter.name = 'path';
    paths[path.replace('/{*}', '/{path}')] = item;
    delete paths[path];
  }
}

function operationsOf(document: Document): OpenAPIV3_1.OperationObject[] {
  return Object.values(document.paths ?? {}).flatMap((path) =>
    [path?.get, path?.post, path?.patch, path?.delete].filter((operation) => operation !== undefined),
  );
}

/** What an operation makes, and says where it is. */
const MADE: Record<string, string> = { createJob: 'job', retryJob: 'job', createWebhook: 'webhook' };

function describeHeaders(document: Document): void {
  const requestId = { description: 'Id of the request, for the logs.', schema: { type: 'string' } } as const;
  const integer = (description: string) => ({ description, schema: { type: 'integer' } }) as const;
  const rateLimit = {
    'ratelimit-limit': integer('Requests that a client may send in a minute.'),
    'ratelimit-remaining': integer('How many of them are left.'),
    'ratelimit-reset': integer('Seconds until all are there again.'),
  };
  for (const operation of operationsOf(document)) {
    const isLimited = operation.responses?.['429'] !== undefined;
    for (const [status, response] of Object.entries(operation.responses ?? {})) {
      if ('$ref' in response) continue;
      const isCounted = isLimited && status !== '401';
      response.headers = { [REQUEST_ID_HEADER]: requestId, ...(isCounted && rateLimit) };
      if (status === '429') response.headers['retry-after'] = integer('Seconds to wait.');
      if (status === '401')
        response.headers['www-authenticate'] = {
          description: 'As RFC 6750 has it; `error` is absent where there was no key.',
          schema: { type: 'string' },
          example: 'Bearer realm="headstart", error="invalid_token"',
        };
      if (status === '307')
        response.headers.location = { description: 'Link to the file.', schema: { type: 'string' } };
      const made = MADE[operation.operationId ?? ''];
      if (!made || (status !== '201' && status !== '202')) continue;
      response.headers.location = {
        description: `Path of the ${made}.`,
        schema: { type: 'string' },
        example: `/${made}s/0b0e4f3c-5f0a-4c8e-9a52-5d1a3f0f6f6e`,
      };
    }
  }
}

/**
 * A media type without a schema is bytes (OpenAPI 3.1.1, "Working with Binary Data"). An empty schema would say that a range of a JSON file is JSON by
 * itself.
 */
function leaveFilesBare(document: Document): void {
  const responses = operationsOf(document).flatMap((operation) => Object.values(operation.responses ?? {}));
  for (const response of responses) {
    if ('$ref' in response) continue;
    for (const media of Object.values(response.content ?? {}))
      if (media.schema && Object.keys(media.schema).length === 0) delete media.schema;
  }
}

/** Each operation's, beside what its schemas have. @throws Error where there is no such operation or parameter. */
function addExamples(document: Document): void {
  const operations = new Map(operationsOf(document).map((one) => [one.operationId, one]));
  for (const [id, examples] of Object.entries(BODY_EXAMPLES)) {
    const body = operations.get(id)?.requestBody;
    const media = body && 'content' in body ? body.content['application/json'] : undefined;
    if (!media) throw new Error(`${id} has no JSON body in the document`);
    media.examples = examples;
  }
  for (const [id, byName] of Object.entries(PARAMETER_EXAMPLES))
    for (const [name, examples] of Object.entries(byName)) {
      const parameter = operations.get(id)?.parameters?.find((one) => 'name' in one && one.name === name);
      if (!parameter || '$ref' in parameter)
        throw new Error(`${id} has no parameter ${name} in the document`);
      parameter.examples = examples;
    }
}

/** The zod plugin emits every schema with an id, for input and for output: only those that are referred to stay. */
function pruneSchemas(document: Document): void {
  const all = document.components?.schemas ?? {};
  const used = new Set<string>();
  const visit = (value: unknown): void => {
    for (const [, name = ''] of JSON.stringify(value).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (used.has(name)) continue;
      used.add(name);
      visit(all[name]);
    }
  };
  visit({ paths: document.paths, webhooks: document.webhooks });
  const kept = Object.entries(all)
    .filter(([name]) => used.has(name))
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  document.components = { ...document.components, schemas: Object.fromEntries(kept) };
}
