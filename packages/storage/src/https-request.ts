import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { AppError } from '@headstart/contracts';
import { printableUri } from './printable-uri.js';

/** How long the server may take to be connected to and to answer with its headers. */
const HEADERS_TIMEOUT_MS = 10_000;

/**
 * One request, certificates checked, redirects refused, nothing decompressed.
 *
 * node:https rather than fetch, which would unpack a compressed answer so that its size is no longer the announced one.
 * @returns the answer, of status 200, its body not yet read.
 */
export async function requestHttps(
  url: URL,
  method: 'GET' | 'HEAD',
  signal?: AbortSignal,
): Promise<IncomingMessage> {
  let answer: IncomingMessage;
  try {
    signal?.throwIfAborted();
    answer = await send(url, method, signal);
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    throw connectionError(cause as NodeJS.ErrnoException, url);
  }
  if (answer.statusCode === 200) return answer;
  answer.destroy();
  throw statusError(answer, url);
}

function send(url: URL, method: string, signal?: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'headstart' };
    const outgoing = request(url, { method, headers, ...(signal && { signal }) });
    const timer = setTimeout(
      () => outgoing.destroy(new Error(`no answer within ${HEADERS_TIMEOUT_MS / 1000} s`)),
      HEADERS_TIMEOUT_MS,
    );
    outgoing.once('response', resolve);
    outgoing.on('error', reject);
    outgoing.once('response', () => clearTimeout(timer));
    outgoing.once('close', () => clearTimeout(timer));
    outgoing.end();
  });
}

function connectionError(cause: NodeJS.ErrnoException, url: URL): AppError {
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

function statusError({ statusCode: status = 0, headers }: IncomingMessage, url: URL): AppError {
  const uri = printableUri(url.href);
  if (status === 404 || status === 410)
    return new AppError('storage_not_found', `${uri} does not exist (status ${status}). Check the URL.`);
  if (status === 401 || status === 403)
    return new AppError(
      'storage_forbidden',
      `The server refused ${uri} (status ${status}). Use a URL that can be read without credentials.`,
    );
  if (status >= 300 && status < 400) {
    const { location } = headers;
    const isUrl = location !== undefined && URL.canParse(location, url.href);
    const to = isUrl ? printableUri(new URL(location, url).href) : 'another place';
    return new AppError(
      'uri_forbidden',
      `${uri} redirects to ${to} (status ${status}), and redirects are not followed. Use the URL it ends at.`,
    );
  }
  const retryable = status >= 500 || status === 408 || status === 429;
  return new AppError('storage_unavailable', `${uri} answered with status ${status}.`, { retryable });
}
