import { AppError } from '@headstart/contracts';
import fp from 'fastify-plugin';
import { METHODS } from 'node:http';

/** What the routes have, in the order of `Allow`. */
const OFFERED = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

declare module 'fastify' {
  interface FastifyInstance {
    /** Answers 405 with `Allow` to every method that a known path does not have. Call it after the last route. */
    refuseOtherMethods(): void;
  }
}

export const methodsPlugin = fp(
  async (app) => {
    const known = new Map<string, Set<string>>();
    app.addHook('onRoute', ({ url, method }) => {
      const methods = known.get(url) ?? new Set();
      for (const name of [method].flat()) methods.add(name);
      known.set(url, methods);
    });

    app.decorate('refuseOtherMethods', () => {
      // Fastify takes some of what Node reads; a method that it does not know is a path that is not there.
      for (const method of METHODS) if (!app.supportedMethods.includes(method)) app.addHttpMethod(method);
      for (const [url, methods] of [...known]) {
        const allow = OFFERED.filter((method) => methods.has(method)).join(', ');
        app.route({
          url,
          method: app.supportedMethods.filter((method) => !methods.has(method)),
          config: { role: null },
          schema: { hide: true },
          // Before the body is parsed, which may be of any type here.
          onRequest: async (request, reply) => {
            reply.header('allow', allow);
            const message = `${request.method} is not a method of this route; it has ${allow}.`;
            throw new AppError('method_not_allowed', message, { details: { allow } });
          },
          handler: () => undefined,
        });
      }
    });
  },
  { name: 'methods', dependencies: ['problems'] },
);
