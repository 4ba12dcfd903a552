import { AppError, ERRORS, type Problem } from '@headstart/contracts';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { REQUEST_ID_HEADER } from './request-id.js';

export const PROBLEM_TYPE = 'application/problem+json';

/** Answers every error as RFC 9457 problem+json, whichever part of the service it comes from. */
export const problemsPlugin = fp(
  async (app) => {
    app.setErrorHandler<FastifyError>((error, request, reply) => sendProblem(error, request, reply));
    app.setNotFoundHandler((request, reply) => {
      const message = `There is no route ${request.method} ${pathOf(request)}. openapi.yaml lists them all.`;
      return sendProblem(new AppError('route_not_found', message), request, reply);
    });
  },
  { name: 'problems', dependencies: ['request-id', 'validation'] },
);

export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const appError = toAppError(error, request);
  if (appError.status >= 500) request.log.error({ err: error }, 'request failed');
  const problem: Problem = {
    type: `urn:headstart:error:${appError.code}`,
    status: appError.status,
    instance: pathOf(request),
    requestId: request.id,
    ...appError.toJobError(),
  };
  // Framework errors come before the hook that sets the header.
  reply.header(REQUEST_ID_HEADER, request.id);
  void reply.code(appError.status).type(PROBLEM_TYPE).send(problem);
}

function toAppError(error: unknown, request: FastifyRequest): AppError {
  if (error instanceof AppError) return error;
  const { code = '', statusCode = 500, message } = error as FastifyError;
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    const received = request.headers['content-type'];
    return new AppError(
      'unsupported_media_type',
      `The body must be JSON, with "content-type: application/json"; received "${received ?? ''}".`,
    );
  }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    const limit = request.routeOptions.bodyLimit;
    return new AppError('payload_too_large', `The body must not be larger than ${limit} bytes.`);
  }
  if (statusCode >= 400 && statusCode < 500) return new AppError('invalid_request', `${message}.`);
  // The message may hold what a client should not see; the log has it under the same id.
  const detail = `The service could not answer. Its log has the cause under request id ${request.id}.`;
  return new AppError('internal_error', detail, {
    cause: error,
    retryable: ERRORS.internal_error.retryable,
  });
}

function pathOf({ url }: FastifyRequest): string {
  return url.split('?', 1)[0] ?? url;
}
