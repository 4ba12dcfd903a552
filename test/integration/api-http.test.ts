import { METHODS } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { startApi, type TestApi } from '../support/api.js';

let api: TestApi;

beforeEach(async () => {
  api = await startApi(inject('redisUrl'));
});
afterEach(() => api.close());

describe('HTTP', () => {
  it('answers 404 for a path that is not there', async () => {
    const answer = await api.ask({ url: '/job' });
    expect(answer).toMatchObject({ status: 404, body: { code: 'route_not_found', instance: '/job' } });
  });

  it.each([
    ['DELETE', '/jobs', 'GET, HEAD, POST'],
    ['PUT', '/jobs/1', 'GET, HEAD, DELETE'],
    ['GET', '/jobs/1/cancel', 'POST'],
    ['POST', '/healthz', 'GET, HEAD'],
    ['TRACE', '/jobs/1', 'GET, HEAD, DELETE'],
    ['QUERY', '/jobs', 'GET, HEAD, POST'],
    ['PROPFIND', '/jobs/1/artifacts/model/model.json', 'GET, HEAD'],
  ] as const)('answers 405 for %s %s', async (method, url, allow) => {
    const answer = await api.ask({ method, url, headers: { 'content-type': 'text/xml' }, payload: '<a/>' });
    expect(answer).toMatchObject({ status: 405, body: { code: 'method_not_allowed' } });
    expect(answer.headers.allow).toBe(allow);
  });

  it('answers 405 for every method that Node reads', async () => {
    const others = METHODS.filter((method) => !['GET', 'HEAD', 'CONNECT'].includes(method));
    expect(others).toContain('QUERY');
    const url = await api.app.listen({ port: 0 });
    for (const method of others) {
      const socket = connect(Number(new URL(url).port));
      socket.write(`${method} /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`);
      expect([method, (await text(socket)).split('\r\n')[0]]).toEqual([
        method,
        'HTTP/1.1 405 Method Not Allowed',
      ]);
    }
  });

  it('answers 413 for a body over 64 KiB', async () => {
    const answer = await api.post({ metadata: { a: 'a'.repeat(70_000) } });
    expect(answer).toMatchObject({ status: 413, body: { code: 'payload_too_large' } });
  });

  it.each(['text/plain', 'application/xml', 'multipart/form-data; boundary=a'])(
    'answers 415 for %s',
    async (type) => {
      const headers = { 'content-type': type };
      const answer = await api.ask({ method: 'POST', url: '/jobs', headers, payload: '{}' });
      expect(answer).toMatchObject({ status: 415, body: { code: 'unsupported_media_type' } });
      expect(answer.body['detail']).toContain(type);
    },
  );

  it.each(['{"datasetUri": ', 'null', '{"__proto__": {"a": 1}}'])(
    'answers 400 for the body %s',
    async (payload) => {
      const headers = { 'content-type': 'application/json; charset=utf-8' };
      const answer = await api.ask({ method: 'POST', url: '/jobs', headers, payload });
      expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
    },
  );

  it('answers 400 for a path that is no URL', async () => {
    expect(await api.ask({ url: '/jobs/%zz' })).toMatchObject({
      status: 400,
      body: { code: 'invalid_request' },
    });
  });

  it('takes a safe request id and replaces any other', async () => {
    const idFor = async (id: string) =>
      (await api.ask({ url: '/healthz', headers: { 'x-request-id': id } })).headers['x-request-id'];
    expect(await idFor('trace-1/a')).toBe('trace-1/a');
    for (const id of ['a b', '{"a":1}', 'é', 'a'.repeat(129)])
      expect(await idFor(id)).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('answers the probes', async () => {
    expect(await api.ask({ url: '/healthz' })).toMatchObject({ status: 200, body: { status: 'up' } });
    expect(await api.ask({ url: '/readyz' })).toMatchObject({ status: 200, body: { status: 'ready' } });
    expect(await api.ask({ url: '/healthz?x=1' })).toMatchObject({ status: 400 });
  });
});
