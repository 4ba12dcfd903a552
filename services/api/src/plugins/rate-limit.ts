import { fastifyRateLimit } from '@fastify/rate-limit';
import { AppError } from '@headstart/contracts';
import fp from 'fastify-plugin';

const WINDOW_MS = 60_000;

export interface RateLimitOptions {
  requestsPerMinute: number;
}

/**
 * The one place that decides how much a client may ask for; it must come before the routes. A client is an address (of
 * IPv6 a /64 network). Counted in this process alone: a limit that asked Redis would cost every request a round trip, and
 * take the API down with Redis. Routes with `config.rateLimit: false`, the probes', are not counted.
 */
export const rateLimitPlugin = fp<RateLimitOptions>(
  async (app, { requestsPerMinute }) => {
    await app.register(fastifyRateLimit, {
      max: requestsPerMinute,
      timeWindow: WINDOW_MS,
      enableDraftSpec: true,
      errorResponseBuilder: (_request, { max, ttl }) =>
        new AppError(
          'rate_limited',
          `A client may send ${max} requests a minute. Try again in ${Math.ceil(ttl / 1000)} seconds.`,
        ),
    });
  },
  { name: 'rate-limit', dependencies: ['request-id', 'problems'] },
);
