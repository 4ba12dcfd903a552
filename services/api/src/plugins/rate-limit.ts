import { fastifyRateLimit, normalizeIP } from '@fastify/rate-limit';
import { AppError } from '@headstart/contracts';
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Caller } from '../callers/caller.js';

const WINDOW_MS = 60_000;

export interface RateLimitOptions {
  requestsPerMinute: number;
}

/**
 * The one place that decides how much a client may ask for; it must come before the routes. A client is a key, or where there are none
 * an address (of IPv6 a /64 network). Counted in this process alone: a limit that asked Redis would cost every request a round trip, and
 * take the API down with Redis. Routes with `config.rateLimit: false`, the probes', are not counted.
 */
export const rateLimitPlugin = fp<RateLimitOptions>(
  async (app, { requestsPerMinute }) => {
    await app.register(fastifyRateLimit, {
      max: (request) => callerOf(request)?.quotas.requestsPerMinute ?? requestsPerMinute,
      keyGenerator: (request) => callerOf(request)?.keyId ?? normalizeIP(request.ip),
      timeWindow: WINDOW_MS,
      enableDraftSpec: true,
      errorResponseBuilder: (request, { max, ttl }) =>
        new AppError(
          'rate_limited',
          `${callerOf(request)?.keyId ? 'This key' : 'A client'} may send ${max} requests a minute. Try again in ${Math.ceil(ttl / 1000)} seconds.`,
        ),
    });
  },
  { name: 'rate-limit', dependencies: ['request-id', 'problems', 'callers'] },
);

/** Null in a route that asks nobody who they are. */
function callerOf({ caller }: FastifyRequest): Caller | null {
  return caller;
}
