import { z } from 'zod';

/** Archive endings a data set may have. */
export const ARCHIVE_ENDINGS = ['.zip', '.tar', '.tar.gz', '.tgz'] as const;

export function isArchiveUri(uri: string): boolean {
  return ARCHIVE_ENDINGS.some((ending) => uri.toLowerCase().endsWith(ending));
}

/** A URI whose scheme is one of `schemes`, without user name, password or fragment. */
export function uriOf(schemes: readonly string[], what: string) {
  const allowed = schemes.map((scheme) => `${scheme}://`).join(', ');
  return z
    .string()
    .max(2048)
    .superRefine((value, context) => {
      const url = URL.canParse(value) ? new URL(value) : undefined;
      const scheme = url?.protocol.slice(0, -1);
      const fail = (message: string) => context.addIssue({ code: 'custom', message });
      if (!url || !scheme || !schemes.includes(scheme))
        fail(`${what} must be a URI that starts with one of ${allowed}`);
      else if (url.username || url.password) fail(`${what} must not contain a user name or password`);
      else if (url.hash) fail(`${what} must not contain a fragment ("#")`);
      else if (scheme === 'file' && (url.host !== '' || !value.startsWith('file:///')))
        fail(`${what} must be file:/// and an absolute path`);
      else if (scheme !== 'file' && url.host === '')
        fail(`${what} must name a ${scheme === 's3' ? 'bucket' : 'host'}`);
    });
}

/** A URI for messages, logs and files that are kept: a web address's query is left out, as it may hold a signature. */
export function printableUri(uri: string): string {
  return /^https?:/i.test(uri) ? uri.replace(/[?#].*$/s, '') : uri;
}
