import { lookup as systemLookup, type LookupAddress } from 'node:dns';
import { type ClientRequest, request as requestHttp, type RequestOptions } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { AppError, printableUri } from '@headstart/contracts';
import { isAllowedAddress, parseNetwork } from './networks.js';

/** Looks up every address of a host; `dns.lookup` with `all`. */
export type ResolveAll = (
  hostname: string,
  done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

const resolveBySystem: ResolveAll = (hostname, done) =>
  systemLookup(hostname, { all: true, order: 'verbatim' }, done);

/** Opens connections to URLs that users send: to public addresses, and to the networks that the operator allows. */
export interface UrlGuard {
  /** @throws AppError uri_forbidden where the host is written as an address that is not allowed, in whatever notation. */
  check(url: URL): void;
  /**
   * A request to an http:// or https:// URL that follows no redirect, over a connection of its own. A name is looked up once:
   * all of its addresses must be allowed, and the connection goes to one of those.
   *
   * The request's 'error' is an AppError uri_forbidden where that is why.
   * @throws as `check`.
   */
  request(url: URL, options: Pick<RequestOptions, 'method' | 'headers' | 'signal'>): ClientRequest;
}

/** @param allowedNetworks CIDRs besides the public addresses. @param resolve how names are looked up. */
export function createUrlGuard(
  allowedNetworks: readonly string[],
  resolve: ResolveAll = resolveBySystem,
): UrlGuard {
  const networks = allowedNetworks.map(parseNetwork);
  const isAllowed = (address: string) => isAllowedAddress(address, networks);

  function check(url: URL): void {
    const host = url.hostname.replace(/^\[|\]$/g, '');
    if (isIP(host) !== 0 && !isAllowed(host)) throw forbidden(url);
  }

  const lookupFor =
    (url: URL): LookupFunction =>
    (hostname, options, done) =>
      resolve(hostname, (error, addresses) => {
        const [first] = addresses ?? [];
        if (error || !first) done(error ?? new Error(`${hostname} has no address`), []);
        else if (!addresses.every(({ address }) => isAllowed(address))) done(forbidden(url), []);
        else if (options.all) done(null, addresses);
        else done(null, first.address, first.family);
      });

  return {
    check,
    request(url, options) {
      // The connection itself asks for a lookup only where the host is a name.
      check(url);
      const request = url.protocol === 'https:' ? requestHttps : requestHttp;
      // No shared agent: it might hand out a connection that was made without a guard.
      return request(url, { ...options, lookup: lookupFor(url), agent: false });
    },
  };
}

function forbidden(url: URL): AppError {
  return new AppError(
    'uri_forbidden',
    `${printableUri(url.href)} is not allowed: its host is, or has, an address that is not public. Whoever runs the service can allow networks with ALLOWED_NETWORKS.`,
    { details: { host: url.host } },
  );
}
