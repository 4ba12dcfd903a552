import { type ErrorCode, ERRORS, Problem } from '@headstart/contracts';

interface ProblemResponse {
  description: string;
  content: { 'application/problem+json': { schema: typeof Problem } };
}

/**
 * The error answers of a route, by status, for its schema: the serializer checks them and openapi.yaml lists the codes.
 * Every route can answer `internal_error`, and what a caller can hear at any of them.
 */
export function problemResponses(...codes: ErrorCode[]): Record<number, ProblemResponse> {
  return openProblemResponses(...codes, 'unauthorized', 'role_forbidden', 'rate_limited');
}

/** The same of a route that asks nobody who they are, and counts no requests. */
export function openProblemResponses(...codes: ErrorCode[]): Record<number, ProblemResponse> {
  const all: ErrorCode[] = [...codes, 'internal_error'];
  const statuses = new Set(all.map((code) => ERRORS[code].status));
  return Object.fromEntries(
    [...statuses].map((status) => [
      status,
      {
        description: all
          .filter((code) => ERRORS[code].status === status)
          .map((code) => `\`${code}\`: ${ERRORS[code].title}.`)
          .join(' '),
        content: { 'application/problem+json': { schema: Problem } },
      },
    ]),
  );
}
