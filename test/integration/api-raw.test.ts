import { Problem } from '@headstart/contracts';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { startApi, type TestApi } from '../support/api.js';

let api: TestApi;

beforeAll(async () => {
  api = await startApi(inject('redisUrl'));
  await api.app.listen({ host: '127.0.0.1', port: 0 });
});
afterAll(() => api.close());

/** Sends bytes as they are, and once more `again` every second, and reads until the API closes the connection. */
async function send(bytes: string, again?: string) {
  const socket = connect((api.app.server.address() as AddressInfo).port, '127.0.0.1');
  socket.write(bytes);
  const startMs = performance.now();
  const dribble = setInterval(() => again !== undefined && socket.writable && socket.write(again), 1000);
  const answer = await text(socket).finally(() => clearInterval(dribble));
  const ms = performance.now() - startMs;
  const [head = '', body = ''] = answer.split('\r\n\r\n');
  const [statusLine, ...lines] = head.split('\r\n');
  const headers = Object.fromEntries(lines.map((line) => line.split(': ') as [string, string]));
  return { statusLine, headers, body, ms };
}

type Sent = Awaited<ReturnType<typeof send>>;

function expectProblem({ statusLine, headers, body }: Sent, status: string, code: string): void {
  expect(statusLine).toBe(`HTTP/1.1 ${status}`);
  expect(headers['content-type']).toBe('application/problem+json');
  const problem = Problem.strict().parse(JSON.parse(body));
  expect(problem).toMatchObject({ code, status: Number(status.slice(0, 3)) });
  expect(headers).toMatchObject({ 'x-request-id': problem.requestId, connection: 'close' });
}

describe('what is no request', () => {
  it.each([
    ['a word', 'hello\r\n\r\n'],
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00'],
    ['two lengths', 'POST /jobs HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}'],
    ['a broken chunk', 'POST /jobs HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n'],
  ])('is answered with 400: %s', async (_what, bytes) => {
    expectProblem(await send(bytes), '400 Bad Request', 'invalid_request');
  });

  it('or has 16 KiB of headers is answered with 431, and is not in the log', async () => {
    const secret = 'secret-of-a-client'.repeat(1000);
    const sent = await send(`GET /jobs HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${secret}\r\n\r\n`);
    expectProblem(sent, '431 Request Header Fields Too Large', 'headers_too_large');
    const { requestId } = JSON.parse(sent.body) as Problem;
    expect(api.log).toContainEqual(expect.objectContaining({ requestId, status: 431 }));
    expect(JSON.stringify(api.log)).not.toContain('secret-of-a-client');
  });
});

it.each([
  ['names no host', 'GET /jobs HTTP/1.1\r\nconnection: close\r\n\r\n', '400 Bad Request'],
  [
    'expects what nobody knows',
    'GET /jobs HTTP/1.1\r\nhost: a\r\nexpect: more\r\nconnection: close\r\n\r\n',
    '200 OK',
  ],
])('a request that %s is answered as any other', async (_what, bytes, status) => {
  const { statusLine, headers, body } = await send(bytes);
  expect(statusLine).toBe(`HTTP/1.1 ${status}`);
  expect(headers['x-request-id']).toBeTruthy();
  if (status.startsWith('400')) expect(Problem.strict().parse(JSON.parse(body)).detail).toContain('Host');
});

it('a request has ten seconds to arrive, whether it stalls or dribbles', async () => {
  const post =
    'POST /jobs HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n';
  const late = await Promise.all([
    send(''),
    send('GET /jobs HTTP/1.1\r\nhost'),
    send('GET /jobs HTTP/1.1\r\nhost: a', 'a'),
    send(`${post}{`),
    send(`${post}{`, ' '),
  ]);
  for (const sent of late) {
    expectProblem(sent, '408 Request Timeout', 'request_timeout');
    expect(sent.ms).toBeGreaterThan(9_900);
    expect(sent.ms).toBeLessThan(13_000);
  }
});

it('a request that comes on an open connection while the API closes is answered like any other', async () => {
  const own = await startApi(inject('redisUrl'));
  await own.app.listen({ host: '127.0.0.1', port: 0 });
  const socket = connect((own.app.server.address() as AddressInfo).port, '127.0.0.1');
  const begun = once(own.app.server, 'request');
  socket.write(
    'POST /jobs HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{',
  );
  await begun;
  const closed = own.close();
  socket.write('}GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n');
  const [, refused = '', second = ''] = (await text(socket)).split('HTTP/1.1 ');
  expect(refused).toMatch(/^400 Bad Request\r\n/);
  expect(second).toMatch(/^200 OK\r\n/);
  expect(second.toLowerCase()).toContain('\r\nconnection: close\r\n');
  await closed;
});
