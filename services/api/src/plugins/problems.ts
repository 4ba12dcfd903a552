import { AppError, ERRORS, type Problem } from '@headstart/contracts';
import type { ConnectionError, FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { maxHeaderSize, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { REQUEST_LIMITS } from '../http/limits.js';
import { chooseRequestId, REQUEST_ID_HEADER } from './request-id.js';

export const PROBLEM_TYPE = 'application/problem+json';

/** Answers every error as RFC 9457 problem+json, whichever part of the service it comes from. */
export const problemsPlugin = fp(
  async (app) => {
    // RFC 9110, section 10.1.1, lets a server do without what it does not know; Node would answer it with a bare 417.
    app.server.on('checkExpectation', (...exchange) => app.server.emit('request', ...exchange));
    app.addHook('onRequest', async ({ raw: { httpVersion, headers } }) => {
      if (httpVersion === '1.1' && headers.host === undefined)
        throw new AppError('invalid_request', 'A request must name its host in the header "Host".');
    });
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
  const problem = problemOf(appError, request.id, pathOf(request));
  // Framework errors come before the hook that sets the header.
  reply.header(REQUEST_ID_HEADER, request.id);
  void reply.code(appError.status).type(PROBLEM_TYPE).send(problem);
}

function problemOf(error: AppError, requestId: string, instance?: string): Problem {
  return {
    type: `urn:headstart:error:${error.code}`,
    status: error.status,
    ...(instance !== undefined && { instance }),
    requestId,
    ...error.toJobError(),
  };
}

/** Answers what Node could not read as a request, which no route and no hook sees, and closes the connection. */
export function answerClientError(this: FastifyInstance, error: ConnectionError, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const appError = explainClientError(error);
  const requestId = chooseRequestId({ headers: {} });
  // Not the error itself: it holds the bytes that came, credentials among them.
  this.log.info({ requestId, code: error.code, status: appError.status }, 'request could not be read');
  const body = JSON.stringify(problemOf(appError, requestId));
  socket.write(
    [
      `HTTP/1.1 ${appError.status} ${STATUS_CODES[appError.status]}`,
      `content-type: ${PROBLEM_TYPE}`,
      `content-length: ${Buffer.byteLength(body)}`,
      `${REQUEST_ID_HEADER}: ${requestId}`,
      'connection: close',
      '',
      body,
    ].join('\r\n'),
  );
  socket.destroySoon();
}

function explainClientError({ code, message }: ConnectionError): AppError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new AppError(
      'request_timeout',
      `The whole request must arrive within ${REQUEST_LIMITS.requestTimeout / 1000} seconds.`,
    );
  if (code === 'HPE_HEADER_OVERFLOW')
    return new AppError('headers_too_large', `The headers must not be larger than ${maxHeaderSize} bytes.`);
  return new AppError('invalid_request', `The request is not valid HTTP/1.1: ${message}.`);
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
