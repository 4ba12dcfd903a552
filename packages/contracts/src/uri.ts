import { z } from 'zod';

/** Archive endings a data set may have. */
export const ARCHIVE_ENDINGS = ['.zip', '.tar', '.tar.gz', '.tgz'] as const;

export function isArchiveUri(uri: string): boolean {
  return ARCHIVE_ENDINGS.some((ending) => uri.toLowerCase().endsWith(ending));
}

/** As in RFC 3986 and so in ASCII; a name in another script is written as punycode. */
const HOST = String.raw`(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?`;
const BUCKET = '[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]';

/** How a URI of each scheme begins, as a pattern and for people; a path, or nothing, comes behind it. */
const BEGINNINGS = {
  s3: { pattern: `s3://${BUCKET}`, form: 's3://BUCKET' },
  file: { pattern: 'file://', form: 'file:///' },
  https: { pattern: `https://${HOST}`, form: 'https://HOST' },
  http: { pattern: `http://${HOST}`, form: 'http://HOST' },
} as const;
export type UriScheme = keyof typeof BEGINNINGS;

/**
 * A URI whose scheme is one of `schemes`, without user name, password or fragment. A pattern says all but which hosts there can be, so
 * that the document has it too.
 * @param endings what the path of a scheme must end in, in upper or lower case, where not every path will do.
 */
export function uriOf(
  schemes: readonly UriScheme[],
  what: string,
  endings: Partial<Record<UriScheme, readonly string[]>> = {},
) {
  const whole = schemes.map((scheme) => BEGINNINGS[scheme].pattern + tailOf(scheme, endings[scheme]));
  return z
    .string()
    .max(2048)
    .regex(new RegExp(`^(?:${whole.join('|')})$`), {
      error: ({ input }) => explain(String(input), schemes, what, endings),
      abort: true,
    })
    .refine((value) => URL.canParse(value), { error: `${what} must have a host that there can be` });
}

function tailOf(scheme: UriScheme, endings: readonly string[] | undefined): string {
  if (endings) return `/[^#]*(?:${endings.map(inAnyCase).join('|')})`;
  if (scheme === 'file') return '/[^#]*';
  return scheme === 's3' ? '(?:/[^#]*)?' : '(?:[/?][^#]*)?';
}

/** A JSON schema's patterns have no flags. */
function inAnyCase(ending: string): string {
  return ending
    .replaceAll('.', String.raw`\.`)
    .replace(/[a-z]/g, (letter) => `[${letter}${letter.toUpperCase()}]`);
}

function explain(
  value: string,
  schemes: readonly UriScheme[],
  what: string,
  endings: Partial<Record<UriScheme, readonly string[]>>,
): string {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url?.username || url?.password) return `${what} must not contain a user name or password`;
  if (url?.hash) return `${what} must not contain a fragment ("#")`;
  const scheme = schemes.find((name) => new RegExp(`^${BEGINNINGS[name].pattern}`).test(value));
  const allowed = scheme && endings[scheme];
  if (allowed) return `${what} must end in one of ${allowed.join(', ')} where it begins with ${scheme}://`;
  return `${what} must be a URI that starts with one of ${schemes.map((name) => BEGINNINGS[name].form).join(', ')}`;
}

/** A URI for messages, logs and files that are kept: a web address's query is left out, as it may hold a signature. */
export function printableUri(uri: string): string {
  return /^https?:/i.test(uri) ? uri.replace(/[?#].*$/s, '') : uri;
}
