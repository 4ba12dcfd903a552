import { fileURLToPath } from 'node:url';
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
