import ipaddr from 'ipaddr.js';

/** An address of a network and the length of its prefix. */
export type Network = [ipaddr.IPv4 | ipaddr.IPv6, number];

/** Whether a text is a network in CIDR notation, such as `10.0.0.0/8` or `fd00::/8`. */
export function isNetwork(cidr: string): boolean {
  return ipaddr.isValidCIDR(cidr);
}

/** @throws Error where `isNetwork` is false. */
export function parseNetwork(cidr: string): Network {
  return ipaddr.parseCIDR(cidr);
}

/** All that IANA gives out for the public internet so far; IPv4-compatible addresses (::/96) and the like lie outside. */
const GLOBAL_IPV6 = ipaddr.parseCIDR('2000::/3');

/**
 * Whether connections for users may go to an address: public ones, and those of `allowed`.
 *
 * An IPv4 address inside an IPv6 one (mapped, or behind NAT64) counts as what it leads to. Other ways to write one
 * inside the other, 6to4 and Teredo, are refused.
 * @param address as a resolver or a URL's host gives it, without brackets.
 */
export function isAllowedAddress(address: string, allowed: readonly Network[]): boolean {
  const written = ipaddr.parse(address);
  const target = written instanceof ipaddr.IPv6 ? (embeddedIPv4(written) ?? written) : written;
  return isPublic(target) || allowed.some((network) => contains(network, target));
}

function embeddedIPv4(address: ipaddr.IPv6): ipaddr.IPv4 | null {
  const kind = address.range();
  return kind === 'ipv4Mapped' || kind === 'rfc6052'
    ? new ipaddr.IPv4(address.toByteArray().slice(-4))
    : null;
}

function isPublic(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  return address.range() === 'unicast' && (address.kind() === 'ipv4' || contains(GLOBAL_IPV6, address));
}

function contains([network, prefixLength]: Network, address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  return address.kind() === network.kind() && address.match(network, prefixLength);
}
