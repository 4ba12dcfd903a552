import { buildDocument } from '@headstart/api';
import { Ajv2020 } from '@redocly/ajv/dist/2020.js';
import type { InjectOptions } from 'fastify';
import type { OpenAPIV3_1 } from 'openapi-types';

const document = await buildDocument();
const ajv = new Ajv2020({ strict: false, validateFormats: false });
ajv.addSchema(JSON.parse(JSON.stringify({ components: document.components })) as object, 'document');

/** A request that the document shows, and what it says of the answer. */
export interface ExampleCase {
  name: string;
  operationId: string;
  /** With `{id}` and the like in it. */
  path: string;
  request: Pick<InjectOptions, 'method' | 'query' | 'headers' | 'payload'>;
  responses: Record<string, DocumentedResponse>;
}

interface DocumentedResponse {
  description: string;
  content?: Record<string, { schema?: object }>;
}

/**
 * Every operation as it is with what it must have alone, and with each example of its body and of each parameter.
 * @throws Error where a body or a parameter has no example.
 */
export function readExamples(): ExampleCase[] {
  return Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
    (['get', 'post', 'patch', 'delete'] as const).flatMap((method) => {
      const operation = item?.[method];
      return operation ? casesOf(path, method, operation) : [];
    }),
  );
}

function casesOf(
  path: string,
  method: 'get' | 'post' | 'patch' | 'delete',
  operation: OpenAPIV3_1.OperationObject,
): ExampleCase[] {
  const { operationId = '', parameters = [] } = operation;
  const make = (name: string, request: ExampleCase['request']): ExampleCase => ({
    name: `${operationId}${name}`,
    operationId,
    path,
    request: { ...request, method: method.toUpperCase() },
    responses: operation.responses as ExampleCase['responses'],
  });
  const bodies = bodiesOf(operation);
  const [first] = bodies;
  const smallest = first && { payload: first.value };
  const withParameters = parameters.flatMap((parameter) => {
    if ('$ref' in parameter) throw new Error(`${operationId}: a parameter by reference`);
    if (parameter.in === 'path') return [];
    const place = parameter.in === 'query' ? 'query' : 'headers';
    return examplesOf(`${operationId} ${parameter.name}`, parameter).map(({ name, value }) =>
      make(` with ${parameter.name} ${name}`, {
        ...smallest,
        [place]: { [parameter.name]: Array.isArray(value) ? value.map(String) : String(value) },
      }),
    );
  });
  const withBodies = first
    ? bodies.map(({ name, value }) => make(` of ${name}`, { payload: value }))
    : [make('', {})];
  return [...withBodies, ...withParameters];
}

function bodiesOf({ operationId, requestBody }: OpenAPIV3_1.OperationObject) {
  if (!requestBody) return [];
  const media = 'content' in requestBody ? requestBody.content['application/json'] : undefined;
  return examplesOf(`${operationId} body`, media ?? {}) as { name: string; value: object }[];
}

function examplesOf(
  what: string,
  { example, examples }: { example?: unknown; examples?: OpenAPIV3_1.MediaTypeObject['examples'] },
): { name: string; value: unknown }[] {
  if (example !== undefined) return [{ name: JSON.stringify(example), value: example }];
  const named = Object.entries(examples ?? {});
  if (named.length === 0) throw new Error(`${what} has no example in the document`);
  return named.map(([name, shown]) => ({
    name: JSON.stringify(name),
    value: 'value' in shown ? (shown.value as unknown) : undefined,
  }));
}

/** @returns what is wrong with an answer's body by the schema of its media type; nothing where all is well. */
export function problemsOf(mediaType: string, schema: object, body: string): string[] {
  switch (mediaType) {
    case 'application/json':
      return validate(schema, JSON.parse(body));
    case 'application/jsonl':
      return lines(body).flatMap((line) => validate(contentSchemaOf(schema), JSON.parse(line)));
    case 'text/event-stream':
      return eventsOf(body).flatMap((event) => [
        ...validate(schema, event),
        ...validate(contentSchemaOf(propertyOf(schema, 'data')), JSON.parse(event['data'] ?? 'null')),
      ]);
    default:
      return validate(schema, body);
  }
}

function validate(schema: object, value: unknown): string[] {
  // References lead into the document.
  const text = JSON.stringify(schema).replaceAll('"#/components/', '"document#/components/');
  const check = ajv.compile(JSON.parse(text) as object);
  return check(value) ? [] : (check.errors ?? []).map((error) => ajv.errorsText([error]));
}

function contentSchemaOf(schema: object): object {
  if ('contentSchema' in schema) return schema.contentSchema as object;
  throw new Error('The schema does not say what its text holds');
}

function propertyOf(schema: object, name: string): object {
  return (schema as { properties: Record<string, object> }).properties[name] ?? {};
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

/** Server-sent events without the comments between them. */
function eventsOf(text: string): Record<string, string>[] {
  return text
    .split('\n\n')
    .map((block) => lines(block).filter((line) => !line.startsWith(':')))
    .filter((block) => block.length > 0)
    .map((block) =>
      Object.fromEntries(
        block.map((line): [string, string] => {
          const at = line.indexOf(': ');
          return [line.slice(0, at), line.slice(at + 2)];
        }),
      ),
    );
}
