import type { IncomingMessage } from 'node:http';
import { AppError, printableUri } from '@headstart/contracts';
import type { UrlGuard } from './guarded-request.js';

/** How long the server may take to be connected to and to answer with its headers. */
const HEADERS_TIMEOUT_MS = 10_000;
const REDIRECTS = [301, 302, 303, 307, 308];
const MAX_REDIRECTS = 5;

/**
 * Asks for one object, certificates checked, nothing decompressed. A redirect is followed to another https:// URL, which
 * is checked as the first one was.
 *
 * node:https rather than fetch, which would unpack a compressed answer so that its size is no longer the announced one.
 * @returns the answer, of status 200, its body not yet read.
 */
export async function requestHttps(
  guard: UrlGuard,
  url: URL,
  method: 'GET' | 'HEAD',
  signal?: AbortSignal,
): Promise<IncomingMessage> {
  let at = url;
  for (let redirects = 0; ; redirects += 1) {
    const answer = await requestOnce(guard, at, method, signal);
    if (answer.statusCode === 200) return answer;
    answer.destroy();
    if (!REDIRECTS.includes(answer.statusCode ?? 0)) throw statusError(answer, at);
    if (redirects === MAX_REDIRECTS) throw badRedirect(url, `it redirects more than ${MAX_REDIRECTS} times`);
    at = redirectTarget(answer, at);
  }
}

async function requestOnce(
  guard: UrlGuard,
  url: URL,
  method: string,
  signal: AbortSignal | undefined,
): Promise<IncomingMessage> {
  try {
    signal?.throwIfAborted();
    return await send(guard, url, method, signal);
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    throw connectionError(cause as NodeJS.ErrnoException, url);
  }
}

function send(guard: UrlGuard, url: URL, method: string, signal?: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'headstart' };
    const outgoing = guard.request(url, { method, headers, ...(signal && { signal }) });
    const timer = setTimeout(
      () => outgoing.destroy(new Error(`no answer within ${HEADERS_TIMEOUT_MS / 1000} s`)),
      HEADERS_TIMEOUT_MS,
    );
    outgoing.once('response', resolve);
    outgoing.on('error', reject);
    outgoing.once('response', () => clearTimeout(timer));
    outgoing.once('close', () => {
      clearTimeout(timer);
      // Nothing else comes behind an answer that switches to another protocol.
      reject(new Error('the connection ended without an answer'));
    });
    outgoing.end();
  });
}

function redirectTarget({ headers: { location } }: IncomingMessage, from: URL): URL {
  if (location === undefined || !URL.canParse(location, from.href))
    throw badRedirect(from, 'it redirects without saying where to');
  const target = new URL(location, from);
  if (target.protocol !== 'https:')
    throw badRedirect(
      from,
      `it redirects to ${printableUri(target.href)}, and only https:// may be redirected to`,
    );
  if (target.username || target.password)
    throw badRedirect(from, 'it redirects to a URL with a user name or password');
  return target;
}

function badRedirect(url: URL, why: string): AppError {
  return new AppError(
    'uri_forbidden',
    `${printableUri(url.href)} cannot be read: ${why}. Use the URL it ends at.`,
  );
}

function connectionError(cause: NodeJS.ErrnoException, url: URL): AppError {
  if (cause instanceof AppError) return cause;
  const uri = printableUri(url.href);
  const said = cause.message || cause.code || 'the connection failed';
  if (/CERT|SELF_SIGNED|UNABLE_TO/.test(cause.code ?? ''))
    return new AppError(
      'storage_unavailable',
      `The certificate of ${uri} is not trusted (${said}). Have the server fixed, or let Node trust it with NODE_EXTRA_CA_CERTS.`,
      { cause, retryable: false },
    );
  return new AppError('storage_unavailable', `${uri} does not answer (${said}). Try again.`, { cause });
}

function statusError({ statusCode: status = 0 }: IncomingMessage, url: URL): AppError {
  const uri = printableUri(url.href);
  if (status === 404 || status === 410)
    return new AppError('storage_not_found', `${uri} does not exist (status ${status}). Check the URL.`);
  if (status === 401 || status === 403)
    return new AppError(
      'storage_forbidden',
      `The server refused ${uri} (status ${status}). Use a URL that can be read without credentials.`,
    );
  const retryable = status >= 500 || status === 408 || status === 429;
  return new AppError('storage_unavailable', `${uri} answered with status ${status}.`, { retryable });
}
