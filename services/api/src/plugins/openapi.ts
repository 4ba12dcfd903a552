import { fastifySwagger } from '@fastify/swagger';
import fp from 'fastify-plugin';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import type { RouteOptions } from 'fastify';
import { API_KEY, DESCRIPTION, TAGS } from '../openapi/description.js';
import { roleOf } from './callers.js';

/** Collects the routes for the OpenAPI document; it must come before them. */
export const openapiPlugin = fp(
  async (app) => {
    await app.register(fastifySwagger, {
      openapi: {
        openapi: '3.1.1',
        info: {
          title: 'Headstart',
          version: '0.1.0',
          summary: 'Fine-tuning of VGG19 image classifiers',
          description: DESCRIPTION,
          license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
        },
        servers: [{ url: 'http://127.0.0.1:3000', description: 'A deployment on this machine' }],
        components: { securitySchemes: { apiKey: API_KEY } },
        // Of the webhooks, which are signed; every route says its own.
        security: [],
        tags: TAGS,
      },
      transform: (route) => {
        const { schema, url } = jsonSchemaTransform(route);
        return { url, schema: { ...schema, security: securityOf(route.route) } };
      },
      transformObject: jsonSchemaTransformObject,
    });
  },
  { name: 'openapi', dependencies: ['problems'] },
);

/** A key of a role, or none where the deployment has no keys. */
function securityOf({ method, config = {} }: RouteOptions): Record<string, string[]>[] {
  const role = roleOf([method].flat()[0] ?? '', config);
  return role === null ? [] : [{ apiKey: [role] }, {}];
}
