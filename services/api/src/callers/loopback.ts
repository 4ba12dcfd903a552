import { BlockList, isIP } from 'node:net';

export const LOOPBACK = '127.0.0.1';

const LOOPBACKS = new BlockList();
LOOPBACKS.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACKS.addAddress('::1', 'ipv6');

/** Whether only this machine reaches what listens there. Any other name than localhost may be looked up to anything. */
export function isLoopback(host: string): boolean {
  const version = isIP(host);
  if (version === 0) return host === 'localhost';
  return LOOPBACKS.check(host, version === 6 ? 'ipv6' : 'ipv4');
}
