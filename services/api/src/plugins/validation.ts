import { AppError, describeIssues } from '@headstart/contracts';
import type { FastifySchemaCompiler } from 'fastify';
import fp from 'fastify-plugin';
import { serializerCompiler } from 'fastify-type-provider-zod';
import { z } from 'zod';

const PARTS: Record<string, string> = {
  body: 'request body',
  querystring: 'query',
  params: 'path',
  headers: 'headers',
};

/** Checks input by the routes' zod schemas and names every field that is wrong, not only the first. */
const validatorCompiler: FastifySchemaCompiler<z.ZodType> = ({ schema, httpPart }) => {
  const part = PARTS[httpPart ?? 'body'] ?? 'request';
  return (data: unknown) => {
    const result = schema.safeParse(data);
    if (result.success) return { value: result.data };
    const error = httpPart === 'querystring' ? byParameter(result.error) : result.error;
    const errors = describeIssues(error, data);
    const list = errors.map(({ field, message }) => `${field}: ${message}`).join('; ');
    return { error: new AppError('invalid_request', `The ${part} is not valid. ${list}.`, { errors }) };
  };
};

/** A parameter that may come several times is a list in the schema alone: what is wrong in it is the parameter's. */
function byParameter({ issues }: z.ZodError): z.ZodError {
  return new z.ZodError(issues.map((issue) => ({ ...issue, path: issue.path.slice(0, 1) })));
}

/** zod checks what comes in and what goes out; JSON is the only media type that comes in. */
export const validationPlugin = fp(
  async (app) => {
    app.setValidatorCompiler(validatorCompiler);
    app.setSerializerCompiler(serializerCompiler);

    const parseJson = app.getDefaultJsonParser('error', 'error');
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
      // Clients send the header without a body to routes that take none; the others' schemas refuse `undefined`.
      if (body === '') done(null, undefined);
      else void parseJson(request, body as string, done);
    });
  },
  { name: 'validation' },
);
