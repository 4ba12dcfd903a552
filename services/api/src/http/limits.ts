const REQUEST_TIMEOUT_MS = 10_000;

/** Fastify's options for what a request may cost before a route has it. */
export const REQUEST_LIMITS = {
  bodyLimit: 64 * 1024,
  requestTimeout: REQUEST_TIMEOUT_MS,
  // Later than the request's own limit, so that a client that stalls is answered and not only cut off.
  connectionTimeout: REQUEST_TIMEOUT_MS + 5_000,
  http: {
    // Node swaps the two where the headers' limit, a minute by default, is the longer one.
    headersTimeout: REQUEST_TIMEOUT_MS,
    // Node looks for late requests only so often: every 30 s by default.
    connectionsCheckingInterval: 1_000,
    // Node's answer would be no problem+json: the plugin of problems looks for itself.
    requireHostHeader: false,
  },
};
