import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createUrlGuard, type ResolveAll } from '@headstart/storage';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { failureOf } from '../../support/storage.js';

/** How an address that must not be reached can be written, by the kind of attack. */
const FORBIDDEN: Record<string, string[]> = {
  loopback: ['127.0.0.1', '127.255.255.254', '[::1]'],
  decimal: ['2130706433', '3232235777'],
  octal: ['0177.0.0.1', '017700000001'],
  hex: ['0x7f000001', '0x7f.0.0.1', '0xA9FEA9FE'],
  'short forms': ['127.1', '0', '10.1'],
  'a full stop at the end': ['127.0.0.1.', '169.254.169.254.'],
  'percent-encoded and full-width digits': ['%31%32%37.0.0.1', '１２７.０.０.１'],
  'private networks': ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', '100.64.0.1'],
  'metadata services': ['169.254.169.254', '[fd00:ec2::254]', '[fe80::a9fe:a9fe]'],
  unspecified: ['0.0.0.0', '[::]'],
  'IPv4-mapped': ['[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::ffff:a9fe:a9fe]', '[::ffff:0:127.0.0.1]'],
  'IPv4-compatible': ['[::127.0.0.1]', '[::a9fe:a9fe]'],
  NAT64: ['[64:ff9b::7f00:1]', '[64:ff9b::10.0.0.1]', '[64:ff9b:1::7f00:1]'],
  '6to4 and Teredo': ['[2002:7f00:1::]', '[2002:a00:1::1]', '[2001:0:7f00:1::]'],
  'local IPv6': ['[fc00::1]', '[fd12:3456::1]', '[fec0::1]', '[ff02::1]'],
  reserved: ['192.0.0.8', '192.0.2.1', '198.18.0.1', '203.0.113.9', '224.0.0.1', '240.0.0.1'],
  broadcast: ['255.255.255.255'],
  'documentation, discard': ['[2001:db8::1]', '[3fff::1]', '[100::1]'],
};
const PUBLIC = [
  '8.8.8.8',
  '1.1.1.1',
  '[2606:4700::1111]',
  '[::ffff:8.8.8.8]',
  '[64:ff9b::808:808]',
  '134744072',
];

/** A resolver that answers with one list after the other, the last one for ever. */
function answers(...lists: string[][]): { resolve: ResolveAll; asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    resolve: (hostname, done) => {
      const list = lists[Math.min(asked.push(hostname), lists.length) - 1] ?? [];
      done(
        null,
        list.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      );
    },
  };
}

describe('a host written as an address', () => {
  const guard = createUrlGuard([]);
  it.each(Object.entries(FORBIDDEN).flatMap(([kind, hosts]) => hosts.map((host) => [host, kind])))(
    '%s is refused (%s)',
    async (host) => {
      for (const scheme of ['https', 'http']) {
        const url = new URL(`${scheme}://${host}/latest/meta-data?token=secret`);
        const error = await failureOf(() => guard.check(url));
        expect(error).toMatchObject({ code: 'uri_forbidden', retryable: false });
        expect(error.message).toContain('ALLOWED_NETWORKS');
        expect(JSON.stringify(error.toJobError())).not.toContain('secret');
        expect(await failureOf(() => guard.request(url, {}))).toMatchObject({ code: 'uri_forbidden' });
      }
    },
  );

  it.each(PUBLIC)('%s is public', (host) => {
    expect(() => guard.check(new URL(`https://${host}/`))).not.toThrow();
  });

  it('is let through where the operator allows its network, however it is written', () => {
    const own = createUrlGuard(['10.1.0.0/16', 'fd00::/8']);
    for (const host of ['10.1.2.3', '0x0a010203', '[::ffff:10.1.2.3]', '[64:ff9b::a01:203]', '[fd12::1]'])
      expect(() => own.check(new URL(`http://${host}/`))).not.toThrow();
    for (const host of ['10.2.0.1', '[fc00::1]', '127.0.0.1'])
      expect(() => own.check(new URL(`http://${host}/`))).toThrow('is not allowed');
  });
});

describe('a name', () => {
  let server: Server;
  let url: URL;
  const reached: (string | undefined)[] = [];

  beforeEach(async () => {
    reached.length = 0;
    // All of 127.0.0.0/8 is this machine: 127.0.0.2 plays the public address, 127.0.0.1 what must not be reached.
    server = createServer((request, response) => {
      reached.push(request.socket.localAddress);
      response.end('internal');
    }).listen(0, '0.0.0.0');
    await once(server, 'listening');
    url = new URL(`http://rebind.example:${(server.address() as AddressInfo).port}/hook`);
  });
  afterEach(async () => {
    server.closeAllConnections();
    await once(server.close(), 'close');
  });

  async function ask(guard: ReturnType<typeof createUrlGuard>): Promise<number | undefined> {
    const request = guard.request(url, { method: 'GET' });
    request.end();
    const [answer] = (await once(request, 'response')) as [{ statusCode?: number; resume(): void }];
    answer.resume();
    return answer.statusCode;
  }

  it.each([
    ['that has a private address', ['127.0.0.1']],
    ['that has one among public ones', ['127.0.0.2', '127.0.0.1']],
    ['whose AAAA alone is private', ['127.0.0.2', '::1']],
    ['whose AAAA is IPv4-mapped', ['127.0.0.2', '::ffff:127.0.0.1']],
    ['that has a link-local address with a zone', ['fe80::1%eth0']],
  ])('%s is refused, and nothing is connected to', async (_, addresses) => {
    const guard = createUrlGuard(['127.0.0.2/32'], answers(addresses).resolve);
    const error = await failureOf(() => ask(guard));
    expect(error).toMatchObject({ code: 'uri_forbidden' });
    expect(error.message).not.toContain('127.0.0.1');
    expect(reached).toEqual([]);
  });

  it('is looked up once for a connection, which goes to the address that was checked', async () => {
    // Every further answer would be the internal one: rebinding between check and connection.
    const { resolve, asked } = answers(['127.0.0.2'], ['127.0.0.1']);
    const guard = createUrlGuard(['127.0.0.2/32'], resolve);
    expect(await ask(guard)).toBe(200);
    expect(asked).toEqual(['rebind.example']);
    expect(reached).toEqual(['127.0.0.2']);
    expect(await failureOf(() => ask(guard))).toMatchObject({ code: 'uri_forbidden' });
    expect(reached).toEqual(['127.0.0.2']);
  });

  it('is looked up by the system by default: localhost is refused', async () => {
    url.hostname = 'localhost';
    expect(await failureOf(() => ask(createUrlGuard([])))).toMatchObject({ code: 'uri_forbidden' });
    expect(await ask(createUrlGuard(['127.0.0.0/8', '::1/128']))).toBe(200);
  });
});
