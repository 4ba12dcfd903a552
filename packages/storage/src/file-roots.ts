import { lstat, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AppError } from '@headstart/contracts';
import { fileError, isMissing } from './file-errors.js';

/** Folders that paths must be below, and how one is refused that is not. */
export interface FileBound {
  /** Absolute, as they are written. */
  folders: readonly string[];
  refusal(uri: string, why: string): AppError;
}

/** The bound of what the operator allows at all. */
export function rootsBound(roots: readonly string[]): FileBound {
  return { folders: roots, refusal: (uri, why) => forbidden(uri, why, roots) };
}

/**
 * Absolute path of a file:// URI, after percent-decoding and with `..` resolved.
 * @throws AppError uri_forbidden if it is not below one of `roots`.
 */
export function pathOfFileUri(uri: string, roots: readonly string[]): string {
  let path: string;
  try {
    path = fileURLToPath(uri);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new AppError('uri_forbidden', `${uri} is not a path on this machine: ${why}. Use file:///path.`, {
      cause,
    });
  }
  if (path.includes('\0')) throw forbidden(uri, 'it contains a NUL character', roots);
  const clean = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
  if (!isPathBelowAny(clean, roots)) throw forbidden(uri, 'it is outside', roots);
  return clean;
}

/**
 * Follows every link of `path` and checks that what it really is lies below what a folder of each bound really is.
 *
 * Parts that do not exist yet are taken as they are. It is a check of what is there now: whoever may change links below a
 * root at the same moment is trusted as much as the service's own user.
 * @throws AppError uri_forbidden if a link leads out.
 */
export async function checkRealPath(path: string, uri: string, bounds: readonly FileBound[]): Promise<void> {
  try {
    const real = await realPathOf(path);
    for (const { folders, refusal } of bounds) {
      const realFolders = await Promise.all(folders.map(realPathOf));
      const isWithin = real !== null && isPathBelowAny(real, realFolders);
      if (!isWithin) throw refusal(uri, 'a link on its way leads outside, or nowhere');
    }
  } catch (error) {
    throw fileError(error, uri);
  }
}

/** Real path of the deepest part that exists, with the rest appended; null where a link on the way leads nowhere. */
async function realPathOf(path: string): Promise<string | null> {
  const missing: string[] = [];
  for (let existing = path; ; existing = dirname(existing)) {
    try {
      return join(await realpath(existing), ...missing);
    } catch (error) {
      if (!isMissing(error)) throw error;
      if (await isLink(existing)) return null;
      missing.unshift(basename(existing));
    }
  }
}

async function isLink(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSymbolicLink();
  } catch {
    return false;
  }
}

/** @param folders null for one that there is not. */
export function isPathBelowAny(path: string, folders: readonly (string | null)[]): boolean {
  return folders.some(
    (folder) =>
      folder !== null && (path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`)),
  );
}

function forbidden(uri: string, why: string, roots: readonly string[]): AppError {
  const allowed = roots.length > 0 ? `Allowed are paths below ${roots.join(', ')}.` : 'No path is allowed.';
  return new AppError(
    'uri_forbidden',
    `${uri} is not allowed: ${why}. ${allowed} Whoever runs the service can allow more with FILE_ROOTS.`,
    { details: { uri, fileRoots: [...roots] } },
  );
}
