import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, inject, it, onTestFinished } from 'vitest';
import { poll } from '../support/poll.js';
import { openQueueParts, type QueueParts } from '../support/queue.js';
import { type ApiService, killServices, startApi } from '../support/services.js';

const MAIN = fileURLToPath(new URL('../../services/api/dist/cli/main.js', import.meta.url));

let env: Record<string, string>;
let queue: QueueParts;
beforeEach(() => {
  queue = openQueueParts(inject('redisUrl'), `test-${randomUUID()}`);
  env = {
    REDIS_URL: inject('redisUrl'),
    QUEUE_PREFIX: queue.prefix,
    OUTPUT_URI: 'file:///tmp/output/',
    LOG_LEVEL: 'info',
  };
});
afterEach(async () => {
  killServices();
  await queue.close();
});

interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs the command line as a shell would. */
async function headstart(args: string[], change: Record<string, string> = {}): Promise<Result> {
  const options = { env: { PATH: process.env['PATH'], ...env, ...change } };
  try {
    return { code: 0, ...(await promisify(execFile)(process.execPath, [MAIN, ...args], options)) };
  } catch (error) {
    return error as Result;
  }
}

const CREATE = 'keys create --tenant birds --name CI --role read --allow any'.split(' ');
const create = (...more: string[]) => headstart([...CREATE, ...more]);

const ask = async (url: string, key?: string) =>
  (await fetch(`${url}/jobs`, { headers: { ...(key !== undefined && { authorization: `Bearer ${key}` }) } }))
    .status;

/** The same API by another of this machine's addresses. */
function fromElsewhere({ url }: ApiService): string | null {
  const address = Object.values(networkInterfaces())
    .flat()
    .find((one) => one?.family === 'IPv4' && !one.internal)?.address;
  return address === undefined ? null : `http://${address}:${new URL(url).port}`;
}

describe('headstart keys', () => {
  it('makes keys, shows them once, lists and revokes them', async () => {
    expect((await headstart(['keys', 'list'])).stderr).toBe('There are no keys.\n');
    const { code, stdout, stderr } = await create(
      ...['--max-queued', '5', '--max-running', '2', '--requests-per-minute', '60'],
    );
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^hs_[\w-]{43}\n$/)]);
    const [, id = ''] = /^Key (\w+) of tenant birds/.exec(stderr) ?? [];
    await headstart([
      'keys',
      'create',
      '--tenant',
      'fish',
      '--name',
      'b',
      '--role',
      'admin',
      '--allow',
      's3://pictures/b/',
      '--allow',
      'file:///c',
    ]);

    const list = await headstart(['keys', 'list']);
    expect(list.stdout).not.toContain(stdout.trim().slice(3));
    const [head, first, second] = list.stdout.split('\n').map((line) => line.split(/ {2,}/));
    expect(head).toEqual(['ID', 'TENANT', 'NAME', 'ROLE', 'LIMITS', 'ALLOWED', 'CREATED', 'REVOKED']);
    expect(first?.slice(0, 6)).toEqual([
      id,
      'birds',
      'CI',
      'read',
      '5 queued, 2 running, 60 a minute',
      'any',
    ]);
    expect(second?.slice(1, 6)).toEqual(['fish', 'b', 'admin', 'none', 's3://pictures/b/ file:///c']);

    expect(await headstart(['keys', 'revoke', id])).toMatchObject({ code: 0, stdout: '' });
    expect(await headstart(['keys', 'revoke', 'nothing'])).toMatchObject({ code: 1, stdout: '' });
    expect((await headstart(['keys', 'list'])).stdout.split('\n')[1]).toMatch(/Z {2}\S+Z$/);
  });

  it.each([
    [[], 'no command'],
    [['jobs'], 'no command "jobs"'],
    [['keys', 'make'], 'no action "make"'],
    [['keys', 'revoke'], 'expected 1 argument'],
    [['keys', 'list', '--all'], "Unknown option '--all'"],
    [['keys', 'create', '--allow', 'any'], '--tenant: is missing; --name: is missing; --role: is missing'],
    [[...CREATE, '--tenant', 'A b'], '--tenant: must be 1 to 63 of'],
    [[...CREATE, '--role', 'root'], '(one of read, submit, admin)'],
    [CREATE.slice(0, -2), '--allow is missing'],
    [[...CREATE, '--allow', 's3://pictures/'], '--allow any stands alone'],
    [[...CREATE.slice(0, -1), 's3://pictures/../c'], 'received "s3://pictures/../c"'],
    [[...CREATE, '--max-queued', '-1'], '--max-queued'],
    [[...CREATE, '--max-running', '1.5'], '--max-running: '],
    [[...CREATE, '--requests-per-minute', '0'], '--requests-per-minute: '],
    [[...CREATE, '--requests-per-minute', 'x'], '--requests-per-minute: '],
  ])('refuses %j', async (args, message) => {
    const { code, stdout, stderr } = await headstart(args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(message);
    expect(stderr).toContain('Usage: headstart keys create');
    expect(await queue.redis.exists(`${queue.prefix}:api-keys`)).toBe(0);
  });

  it('says where Redis should be, and what is wrong with the configuration', async () => {
    const away = await headstart(['keys', 'list'], { REDIS_URL: 'redis://:secret@127.0.0.1:1' });
    expect(away).toMatchObject({ code: 1, stderr: expect.stringContaining('REDIS_URL') as string });
    expect(away.stderr).not.toContain('secret');
    const silent = createServer((socket) => socket.resume()).listen(0, '127.0.0.1');
    onTestFinished(() => void silent.close());
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    expect(await headstart(['keys', 'list'], { REDIS_URL: `redis://127.0.0.1:${port}` })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('does not answer') as string,
    });
    const wrong = await headstart(['keys', 'list'], { REDIS_URL: 'http://127.0.0.1' });
    expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining('redis://') as string });
    for (const asking of [['help'], ['--help'], ['keys', 'create', '--help'], ['keys', '-h']])
      expect(await headstart(asking)).toMatchObject({
        code: 0,
        stdout: expect.stringContaining('Usage:') as string,
      });
  });
});

describe('the API', () => {
  it('listens on this machine alone while there are no keys, and demands one as soon as there is', async () => {
    const api = await startApi({ ...env, API_HOST: '0.0.0.0' });
    expect(new URL(api.url).hostname).toBe('127.0.0.1');
    expect(api.logs.find(({ wanted }) => wanted === '0.0.0.0')).toMatchObject({
      level: 40,
      host: '127.0.0.1',
    });
    const elsewhere = fromElsewhere(api);
    if (elsewhere !== null) await expect(ask(elsewhere)).rejects.toThrow();
    expect(await ask(api.url)).toBe(200);

    const key = (await create()).stdout.trim();
    await poll('the key to be demanded', async () => ((await ask(api.url)) === 401 ? true : null), 5000);
    expect(await ask(api.url, key)).toBe(200);

    const started = await startApi({ ...env, API_HOST: '0.0.0.0' });
    expect(started.logs.filter(({ level }) => level === 40)).toEqual([]);
    const reached = fromElsewhere(started) ?? started.url;
    expect([await ask(reached), await ask(reached, key)]).toEqual([401, 200]);

    // Both processes hear of a revocation.
    const [, id = ''] = /^(\w{16}) /m.exec((await headstart(['keys', 'list'])).stdout) ?? [];
    await headstart(['keys', 'revoke', id]);
    for (const url of [api.url, started.url])
      await poll('the key to be refused', async () => ((await ask(url, key)) === 401 ? true : null), 3000);
    for (const { logs } of [api, started]) expect(JSON.stringify(logs)).not.toContain(key.slice(3));
  });

  it('listens where it is told to without keys if that is allowed, and warns', async () => {
    const api = await startApi({ ...env, API_HOST: '0.0.0.0', API_ALLOW_ANONYMOUS: 'true' });
    expect(await ask(fromElsewhere(api) ?? api.url)).toBe(200);
    expect(api.logs.some(({ level, msg }) => level === 40 && msg.startsWith('there are no keys'))).toBe(true);
  });

  it('serves nobody from elsewhere while Redis does not say whether there are keys', async () => {
    const api = await startApi({ ...env, API_HOST: '0.0.0.0', REDIS_URL: 'redis://127.0.0.1:1' });
    const url = fromElsewhere(api) ?? api.url;
    expect(await ask(url)).toBe(503);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect(api.logs.some(({ level, msg }) => level === 40 && msg.startsWith('Redis has not said'))).toBe(
      true,
    );
  });
});
