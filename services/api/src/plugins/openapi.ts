import { fastifySwagger } from '@fastify/swagger';
import fp from 'fastify-plugin';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { DESCRIPTION, TAGS } from '../openapi/description.js';

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
        // The service has no authentication of its own: it belongs behind a gateway that has.
        security: [],
        tags: TAGS,
      },
      transform: jsonSchemaTransform,
      transformObject: jsonSchemaTransformObject,
    });
  },
  { name: 'openapi', dependencies: ['problems'] },
);
