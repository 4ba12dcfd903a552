import { AppError, includesRole, type Role } from '@headstart/contracts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { setTimeout as delay } from 'node:timers/promises';
import type { Caller } from '../callers/caller.js';
import { KeyRing } from '../callers/key-ring.js';
import { isLoopback, LOOPBACK } from '../callers/loopback.js';
import type { ApiConfig } from '../config.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; null only in routes of the role null. */
    caller: Caller;
  }
  interface FastifyContextConfig {
    /** What a caller must be allowed; see `roleOf`. Null: anybody may ask, without a key. */
    role?: Role | null;
  }
  interface FastifyInstance {
    /** Where to listen: where the configuration says, or on this machine alone if everybody would be admitted. */
    chooseHost(): Promise<string>;
  }
}

/** How long the start waits for a Redis that does not answer, before it goes on without knowing whether there are keys. */
const WAIT_FOR_KEYS_MS = 3000;
const TRY_AGAIN_MS = 200;
const CHALLENGE = 'Bearer realm="headstart"';

/** The role that a route needs: of its own `config.role`, else by what its method does. */
export function roleOf(method: string, config: { role?: Role | null }): Role | null {
  if (config.role !== undefined) return config.role;
  return method === 'GET' || method === 'HEAD' ? 'read' : 'submit';
}

/**
 * The one place that decides who a request comes from, and whether it may ask what it asks.
 *
 * Keys are `Authorization: Bearer` (RFC 6750). Without any key in the deployment everybody is admitted as the default tenant, but only on
 * a loopback address, or where `API_ALLOW_ANONYMOUS` says so. With the first key, requests without one are refused.
 */
export const callersPlugin = fp<{ config: Pick<ApiConfig, 'host' | 'allowsAnonymous'> }>(
  async (app, { config }) => {
    const ring = new KeyRing((known) => app.jobs.apiKeys(known));
    let { host } = config;
    const admitsAnonymous = () => config.allowsAnonymous || isLoopback(host);

    app.decorateRequest('caller', null as unknown as Caller);
    app.addHook('onRequest', async (request, reply) => {
      if (request.is404) return;
      const needed = roleOf(request.method, request.routeOptions.config);
      if (needed === null) return;
      const caller = await identify(request, reply);
      request.caller = caller;
      if (caller.keyId !== null)
        request.log = reply.log = request.log.child({ tenant: caller.tenant, keyId: caller.keyId });
      if (includesRole(caller.role, needed)) return;
      reply.header('www-authenticate', `${CHALLENGE}, error="insufficient_scope", scope="${needed}"`);
      throw new AppError(
        'role_forbidden',
        `This takes a key with the role "${needed}"; this one has "${caller.role}".`,
        { details: { role: caller.role, needed } },
      );
    });

    async function identify({ headers }: FastifyRequest, reply: FastifyReply): Promise<Caller> {
      const [, key] = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '') ?? [];
      const caller = key === undefined ? null : await ring.find(key);
      if (caller) return caller;
      if (!(await ring.hasKeys()) && admitsAnonymous()) return ring.anonymous;
      reply.header('www-authenticate', key === undefined ? CHALLENGE : `${CHALLENGE}, error="invalid_token"`);
      throw new AppError(
        'unauthorized',
        key === undefined
          ? 'Send a key: "Authorization: Bearer hs_...". Whoever runs the service makes one with "headstart keys create".'
          : 'The key is unknown, or was revoked. Whoever runs the service makes another with "headstart keys create".',
      );
    }

    app.decorate('chooseHost', async () => {
      const hasKeys = await findOut(ring, admitsAnonymous() ? 0 : WAIT_FOR_KEYS_MS);
      if (hasKeys === null && !admitsAnonymous())
        app.log.warn({ host }, 'Redis has not said whether there are keys: who has none is refused');
      if (hasKeys !== false) return host;
      if (admitsAnonymous()) {
        app.log.warn({ host }, 'there are no keys: whoever reaches this address may do everything');
        return host;
      }
      app.log.warn(
        { wanted: host, host: LOOPBACK },
        'there are no keys: listening on this machine only. Make one with "headstart keys create", and start anew; inside a container, see API_ALLOW_ANONYMOUS',
      );
      host = LOOPBACK;
      return host;
    });
    app.addHook('onClose', async () => ring.close());
  },
  { name: 'callers', dependencies: ['problems', 'queue'] },
);

/** Whether there are keys; null where Redis has not said so by then. */
async function findOut(ring: KeyRing, withinMs: number): Promise<boolean | null> {
  const deadlineMs = Date.now() + withinMs;
  for (;;) {
    const hasKeys = await ring.hasKeys().catch(() => null);
    if (hasKeys !== null || Date.now() >= deadlineMs) return hasKeys;
    await delay(TRY_AGAIN_MS);
  }
}
