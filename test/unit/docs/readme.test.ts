import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { buildDocument } from '@headstart/api';
import {
  JobRequest,
  ROLES,
  SCENARIOS,
  WebhookEndpointChange,
  WebhookEndpointRequest,
} from '@headstart/contracts';
import { ENGINE_NAMES } from '@headstart/engines';
import { describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { Environment as ApiEnvironment } from '../../../services/api/src/config.js';
import { Environment as WorkerEnvironment } from '../../../services/worker/src/config.js';
import { createMetrics } from '../../../services/worker/src/metrics/metrics.js';

const readme = readFileSync(resolve(import.meta.dirname, '../../../README.md'), 'utf8');

/** The cells of every table row whose first cell is one of `names`, in backticks. */
function rowsOf(names: readonly string[]): Map<string, string[]> {
  const rows = readme.split('\n').filter((line) => line.startsWith('| `'));
  const cells = rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  return new Map(
    cells
      .map(([first, ...rest]) => [first!.replaceAll('`', ''), rest] as const)
      .filter(([name]) => names.includes(name)),
  );
}

/** How the README writes a variable's default. */
function defaultOf(schema: z.ZodType): string {
  const result = schema.safeParse(undefined);
  if (!result.success) return 'required';
  const value: unknown = result.data;
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return 'none';
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

/** Too long for a cell: the README puts them in words. */
const IN_WORDS: Record<string, string> = {
  IMAGENET_WEIGHTS_URL: "Keras Applications' file",
  WEBHOOK_RETRY_DELAYS_SECONDS: 'the schedule below',
};

describe('the README', () => {
  const variables = new Map<string, { of: string; schema: z.ZodType }>();
  for (const [name, schema] of Object.entries<z.ZodType>(ApiEnvironment.shape))
    variables.set(name, { of: 'API', schema });
  for (const [name, schema] of Object.entries<z.ZodType>(WorkerEnvironment.shape))
    variables.set(name, { of: variables.has(name) ? 'API and worker' : 'worker', schema });

  it('lists every variable of every service', () => {
    const listed = [...readme.matchAll(/^\| `([A-Z][A-Z0-9_]+)` /gm)].map(([, name]) => name);
    expect(listed.toSorted()).toEqual([...variables.keys()].sort());
  });

  it.each([...variables.keys()])('says whose %s is, and its default', (name) => {
    const { of, schema } = variables.get(name)!;
    const [service, fallback] = rowsOf([name]).get(name)!;
    expect([service, fallback]).toEqual([of, IN_WORDS[name] ?? defaultOf(schema)]);
  });

  it('lists every metric of a worker', () => {
    const names = createMetrics()
      .registry.getMetricsAsArray()
      .map(({ name }) => name);
    for (const name of names.filter((one) => one.startsWith('headstart_')))
      expect(rowsOf([name]).get(name)?.[0]).toBe('worker');
  });

  it('gives the webhook schedule', () => {
    const delays = WorkerEnvironment.shape.WEBHOOK_RETRY_DELAYS_SECONDS.parse(undefined);
    const written = delays.map((seconds) =>
      seconds < 60 ? `${seconds} s` : seconds < 3600 ? `${seconds / 60} min` : `${seconds / 3600} h`,
    );
    expect(readme.replaceAll('\n', ' ')).toContain(`after ${written.join(', ')}, with jitter`);
  });

  it('says what each role may do', async () => {
    const { paths = {} } = await buildDocument();
    const written = new Map<string, string[]>();
    for (const [path, item] of Object.entries(paths))
      for (const method of ['get', 'post', 'put', 'patch', 'delete'] as const) {
        const role = item?.[method]?.security?.[0]?.['apiKey']?.[0];
        if (role === undefined) continue;
        written.set(role, [...(written.get(role) ?? []), `${method.toUpperCase()} ${path}`]);
      }
    expect([...written.keys()].sort()).toEqual([...ROLES].sort());
    for (const [role, operations] of written) {
      const [cell = ''] = rowsOf([role]).get(role) ?? [];
      expect([...cell.matchAll(/`([A-Z]+ [^`]+)`/g)].map(([, one]) => one).sort()).toEqual(operations.sort());
    }
  });

  it('has a row for every scenario, field and engine', () => {
    expect([...rowsOf(SCENARIOS).keys()].sort()).toEqual([...SCENARIOS].sort());
    const fields = Object.keys(JobRequest.shape).map((name) => (name === 'output' ? 'output.uri' : name));
    expect([...rowsOf(fields).keys(), 'scenario'].sort()).toEqual(fields.sort());
    expect([...rowsOf(ENGINE_NAMES).keys(), 'auto'].sort()).toEqual([...ENGINE_NAMES].sort());
  });

  it('posts requests that are accepted', () => {
    const schemas: Record<string, z.ZodType> = {
      jobs: JobRequest,
      webhooks: WebhookEndpointRequest,
      'webhooks/ID': WebhookEndpointChange,
    };
    const posts = [...readme.matchAll(/localhost:3000\/(\S+) .*-d '(\{[^']*\})'/g)];
    expect(new Set(posts.map(([, path]) => path))).toEqual(new Set(Object.keys(schemas)));
    expect(posts.length).toBe(readme.match(/-d '\{/g)?.length);
    for (const [, path, body] of posts) expect(() => schemas[path!]?.parse(JSON.parse(body!))).not.toThrow();
  });
});
