import fp from 'fastify-plugin';
import { ANONYMOUS, type Caller } from '../callers/caller.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks. */
    caller: Caller;
  }
}

/** The one place that decides who a request comes from. */
export const callersPlugin = fp(
  async (app) => {
    app.decorateRequest('caller', { getter: () => ANONYMOUS });
  },
  { name: 'callers' },
);
