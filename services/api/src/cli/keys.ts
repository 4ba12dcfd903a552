import { describeIssues } from '@headstart/contracts';
import { type ApiKey, createApiKey, createRedis, Grant, readApiKeys, revokeApiKey } from '@headstart/queue';
import { isUriPrefix } from '@headstart/storage';
import { parseArgs } from 'node:util';
import type { ApiConfig } from '../config.js';

/** The command line is not one of ours. */
export class UsageError extends Error {}

type Parts = Parameters<typeof createApiKey>[0];

/** Within so long the whole command is done, or Redis does not answer. */
const ANSWER_WITHIN_MS = 5000;

/** `headstart keys ...`: what a script wants of it goes to stdout, what is for people to stderr. */
export async function keysCommand(
  args: string[],
  config: Pick<ApiConfig, 'redisUrl' | 'queuePrefix'>,
): Promise<void> {
  const [action, ...rest] = args;
  const work = workOf(action, rest);
  const redis = createRedis(config.redisUrl, 'api');
  // Of one that takes connections and says nothing: whatever waits for it rejects with the connection.
  const timer = setTimeout(() => redis.disconnect(), ANSWER_WITHIN_MS);
  try {
    await redis.connect().catch((cause: unknown) => {
      throw new Error('Redis does not answer at REDIS_URL.', { cause });
    });
    await work({ redis, prefix: config.queuePrefix });
  } finally {
    clearTimeout(timer);
    redis.disconnect();
  }
}

/** What is asked for, once it is known to be right. @throws UsageError */
function workOf(action: string | undefined, args: string[]): (parts: Parts) => Promise<void> {
  if (action === 'create') {
    const grant = parseGrant(args);
    return (parts) => create(parts, grant);
  }
  if (action === 'list') {
    parse(args, {}, 0);
    return list;
  }
  if (action === 'revoke') {
    const [id = ''] = parse(args, {}, 1).positionals;
    return (parts) => revoke(parts, id);
  }
  throw new UsageError(action === undefined ? 'keys: no action' : `keys: there is no action "${action}"`);
}

async function create(parts: Parts, grant: Grant): Promise<void> {
  const { key, record } = await createApiKey(parts, grant);
  process.stderr.write(
    `Key ${record.id} of tenant ${grant.tenant}. It is not shown again, and works at once:\n`,
  );
  process.stdout.write(`${key}\n`);
}

async function list(parts: Parts): Promise<void> {
  const keys = (await readApiKeys(parts, null))?.keys ?? [];
  if (keys.length === 0) process.stderr.write('There are no keys.\n');
  else process.stdout.write(`${formatTable([HEADINGS, ...keys.map(rowOf)])}\n`);
}

async function revoke(parts: Parts, id: string): Promise<void> {
  const record = await revokeApiKey(parts, id);
  if (record === null)
    throw new Error(`There is no key ${JSON.stringify(id)}: "headstart keys list" has them all.`);
  process.stderr.write(`Key ${id} was revoked at ${record.revokedAt}: no API takes it a second later.\n`);
}

const GRANT_OPTIONS = {
  tenant: { type: 'string' },
  name: { type: 'string' },
  role: { type: 'string' },
  allow: { type: 'string', multiple: true },
  'max-queued': { type: 'string' },
  'max-running': { type: 'string' },
  'requests-per-minute': { type: 'string' },
} as const;

function parseGrant(args: string[]): Grant {
  const { values } = parse(args, GRANT_OPTIONS, 0);
  const { tenant, name, role, allow = [] } = values;
  if (allow.length === 0)
    throw new UsageError('--allow is missing: name the folders that jobs may use, or "any"');
  const isAny = allow.includes('any');
  if (isAny && allow.length > 1) throw new UsageError('--allow any stands alone');
  for (const uri of isAny ? [] : allow)
    if (!isUriPrefix(uri))
      throw new UsageError(
        `--allow must be s3://bucket/path or file:///path, without "." and "..", or "any"; received "${uri}"`,
      );
  const input = {
    tenant,
    name,
    role,
    quotas: {
      queued: limitOf(values['max-queued']),
      running: limitOf(values['max-running']),
      requestsPerMinute: limitOf(values['requests-per-minute']),
    },
    uriPrefixes: isAny ? null : allow,
  };
  const grant = Grant.safeParse(input);
  if (grant.success) return grant.data;
  const problems = describeIssues(grant.error, input).map(
    ({ field, message, received, allowed }) =>
      `--${OPTION_OF[field] ?? field}: ${received === undefined ? 'is missing' : message}` +
      (Array.isArray(allowed) ? ` (one of ${allowed.join(', ')})` : ''),
  );
  throw new UsageError(problems.join('; '));
}

const OPTION_OF: Record<string, string> = {
  'quotas.queued': 'max-queued',
  'quotas.running': 'max-running',
  'quotas.requestsPerMinute': 'requests-per-minute',
};

function limitOf(text: string | undefined): number | null {
  return text === undefined ? null : Number(text);
}

/** @throws UsageError also where there are not as many arguments besides the options. */
function parse<T extends NonNullable<Parameters<typeof parseArgs>[0]>['options']>(
  args: string[],
  options: T,
  positionals: number,
) {
  try {
    const parsed = parseArgs({ args, options, allowPositionals: positionals > 0 });
    if (parsed.positionals.length !== positionals) throw new Error(`expected ${positionals} argument`);
    return parsed;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

const HEADINGS = ['ID', 'TENANT', 'NAME', 'ROLE', 'LIMITS', 'ALLOWED', 'CREATED', 'REVOKED'];

function rowOf(key: ApiKey): string[] {
  const { queued, running, requestsPerMinute } = key.quotas;
  const limits = Object.entries({ queued, running, 'a minute': requestsPerMinute })
    .filter(([, limit]) => limit !== null)
    .map(([what, limit]) => `${limit} ${what}`);
  return [
    key.id,
    key.tenant,
    key.name,
    key.role,
    limits.join(', ') || 'none',
    key.uriPrefixes?.join(' ') ?? 'any',
    key.createdAt,
    key.revokedAt ?? '',
  ];
}

function formatTable(rows: string[][]): string {
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
