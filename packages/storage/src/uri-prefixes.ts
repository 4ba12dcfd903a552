import { fileURLToPath } from 'node:url';
import { AppError } from '@headstart/contracts';
import { type FileBound, isPathBelowAny } from './file-roots.js';
import { parseS3Uri } from './s3-store.js';

/**
 * The parts of an s3:// or file:// URI as the stores read it: scheme, bucket, names. A slash at the end makes no difference.
 * @returns null for any other URI, and for one with a part that is empty, `.` or `..`, which servers and disks may read in their own way.
 */
function partsOf(uri: string): string[] | null {
  try {
    const path = uri.startsWith('file:') ? `file${fileURLToPath(uri)}` : s3Path(uri);
    const parts = path.replace(/\/$/, '').split('/');
    return parts.some((part) => ['', '.', '..'].includes(part)) || path.includes('\0') ? null : parts;
  } catch {
    return null;
  }
}

function s3Path(uri: string): string {
  const { bucket, key } = parseS3Uri(uri);
  return `s3/${bucket}/${key}`;
}

/** Whether a URI can be one of the prefixes below: that of a bucket, or of a folder or file. */
export function isUriPrefix(uri: string): boolean {
  return partsOf(uri) !== null;
}

/** Whether an s3:// or file:// URI names what one of the prefixes names, or something below it. */
export function isBelowAny(uri: string, prefixes: readonly string[]): boolean {
  const parts = partsOf(uri);
  return (
    parts !== null &&
    prefixes.some((prefix) => partsOf(prefix)?.every((part, index) => part === parts[index]) ?? false)
  );
}

/** What is said of a URI that no prefix allows. @param why where the URI itself does not show it. */
export function outsidePrefixes(uri: string, prefixes: readonly string[], why = ''): AppError {
  const reason = why === '' ? '' : ` (${why})`;
  return new AppError(
    'uri_forbidden',
    `${uri} is not within what the key may use${reason}: ${prefixes.join(', ')}. Use a folder or file below one of these, without "." and ".." in its path.`,
    { details: { uri, allowed: [...prefixes] } },
  );
}

/**
 * The bound that the prefixes are of paths, whatever links lead to. A prefix may be a link itself, made by whoever gave it, but not where
 * it is below another: whoever may use that one could have put a link in its place.
 */
export function prefixesBound(prefixes: readonly string[]): FileBound {
  const paths = [...new Set(prefixes.flatMap((prefix) => pathOf(prefix) ?? []))];
  const folders = paths.filter(
    (path) => !paths.some((other) => other !== path && isPathBelowAny(path, [other])),
  );
  return { folders, refusal: (uri, why) => outsidePrefixes(uri, prefixes, why) };
}

function pathOf(uri: string): string | null {
  const [scheme, ...names] = partsOf(uri) ?? [];
  return scheme === 'file' ? `/${names.join('/')}` : null;
}
