import { buildDocument, renderDocument } from '@headstart/api';
import { ERRORS, WEBHOOK_EVENTS } from '@headstart/contracts';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

const FILE = new URL('../../../openapi.yaml', import.meta.url);

describe('openapi.yaml', () => {
  it('passes the public linter with its recommended rules, without a warning', async () => {
    const config = await createConfig({ extends: ['recommended'] });
    const problems = await lintFromString({ source: await renderDocument(), config });
    expect(problems.map(({ ruleId, message, location }) => [ruleId, message, location[0]?.pointer])).toEqual(
      [],
    );
  });

  it('is what the contracts and the routes say', async () => {
    expect(await readFile(FILE, 'utf8')).toBe(await renderDocument());
    expect(parse(await renderDocument())).toEqual(JSON.parse(JSON.stringify(await buildDocument())));
  });

  it('asks for a key everywhere but at the probes and metrics, and says how a request without one is answered', async () => {
    const { paths = {}, components } = await buildDocument();
    expect(components?.securitySchemes).toMatchObject({ apiKey: { type: 'http', scheme: 'bearer' } });
    const open: string[] = [];
    for (const [path, item] of Object.entries(paths))
      for (const operation of [item?.get, item?.post, item?.patch, item?.delete]) {
        if (!operation) continue;
        if (operation.security?.length === 0) {
          open.push(path);
          continue;
        }
        expect(operation.security).toEqual([{ apiKey: [expect.any(String)] }, {}]);
        expect(Object.keys(operation.responses ?? {})).toEqual(expect.arrayContaining(['401', '403', '429']));
      }
    expect(open.toSorted()).toEqual(['/healthz', '/metrics', '/readyz']);
  });

  it('describes every route, error code and webhook, and refers to every schema it has', async () => {
    const document = await buildDocument();
    const operations = Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
      Object.keys(item ?? {}).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(operations.toSorted()).toEqual([
      'DELETE /jobs/{id}',
      'DELETE /webhooks/{id}',
      'GET /healthz',
      'GET /jobs',
      'GET /jobs/{id}',
      'GET /jobs/{id}/artifacts',
      'GET /jobs/{id}/artifacts/{path}',
      'GET /jobs/{id}/deliveries',
      'GET /jobs/{id}/events',
      'GET /jobs/{id}/logs',
      'GET /metrics',
      'GET /readyz',
      'GET /webhooks',
      'GET /webhooks/{id}',
      'GET /webhooks/{id}/deliveries',
      'PATCH /webhooks/{id}',
      'POST /jobs',
      'POST /jobs/{id}/cancel',
      'POST /jobs/{id}/deliveries/{webhookId}/replay',
      'POST /jobs/{id}/finish',
      'POST /jobs/{id}/retry',
      'POST /webhooks',
      'POST /webhooks/{id}/deliveries/{webhookId}/replay',
      'POST /webhooks/{id}/rotate-secret',
    ]);
    for (const code of Object.keys(ERRORS)) expect(document.info.description).toContain(`| \`${code}\` |`);
    expect(Object.keys(document.webhooks ?? {})).toEqual([...WEBHOOK_EVENTS]);
    const text = JSON.stringify(document);
    for (const name of Object.keys(document.components?.schemas ?? {}))
      expect(text).toContain(`"#/components/schemas/${name}"`);
  });
});
