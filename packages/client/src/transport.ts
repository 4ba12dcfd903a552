import { AppError, Problem } from '@headstart/contracts';

export interface CallOptions {
  /** Ends the waiting for an answer, and no job: the promise rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface Call extends CallOptions {
  /** Sent as JSON. */
  body?: unknown;
  headers?: Record<string, string>;
  /** How redirects are taken; they are followed by default. */
  redirect?: 'manual';
}

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

/** Sends requests, and makes an AppError of every answer that is none. */
export class Transport {
  readonly baseUrl: string;

  /** Private, so that whoever prints the client does not print the key. */
  readonly #apiKey: string | undefined;

  constructor(baseUrl: string, apiKey: string | undefined) {
    this.baseUrl = baseUrl.replace(/\/+$/, '');
    this.#apiKey = apiKey;
  }

  /** @returns what the answer has as JSON; undefined where it has nothing. */
  async send<T>(method: Method, path: string, call: Call = {}): Promise<T> {
    const response = await this.open(method, path, call);
    if (response.status === 204) return undefined as T;
    return (await response.json().catch((cause: unknown) => {
      throw brokenOff(`${method} ${this.baseUrl}${path}`, cause, call.signal);
    })) as T;
  }

  /** @returns the answer, before its body has come; a redirect only where those are not followed. */
  async open(
    method: Method,
    path: string,
    { body, headers, redirect, signal }: Call = {},
  ): Promise<Response> {
    const url = this.baseUrl + path;
    const response = await fetch(url, {
      method,
      headers: {
        accept: 'application/json',
        ...(this.#apiKey !== undefined && { authorization: `Bearer ${this.#apiKey}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(redirect && { redirect }),
      ...(signal && { signal }),
    }).catch((cause: unknown) => {
      signal?.throwIfAborted();
      throw new AppError('internal_error', `No answer from ${url}. Is the API running there?`, { cause });
    });
    if (response.ok || (redirect && response.headers.has('location'))) return response;
    const problem = Problem.safeParse(await response.json().catch(() => undefined));
    signal?.throwIfAborted();
    if (problem.success) throw AppError.fromJobError(problem.data);
    throw new AppError(
      'internal_error',
      `${method} ${url} answered ${response.status}, not as Headstart does.`,
    );
  }
}

/** The text of an answer, as it comes. @param what for the message where it breaks off. */
export async function* textOf(
  { body }: Response,
  what: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<string> {
  try {
    if (body) yield* body.pipeThrough(new TextDecoderStream());
  } catch (cause) {
    throw brokenOff(what, cause, signal);
  }
}

/** Whether the same request may well be answered a little later. */
export function isOutage(error: unknown): boolean {
  return error instanceof AppError && error.retryable;
}

function brokenOff(what: string, cause: unknown, signal: AbortSignal | undefined): Error {
  if (signal?.aborted) return signal.reason as Error;
  return new AppError('internal_error', `The answer to ${what} broke off. Try again.`, { cause });
}
