import { readlink, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AppError } from '@headstart/contracts';
import { fileError, isMissing } from './file-errors.js';

/** As on Linux. A link at the end of more leads nowhere. */
const MOST_LINKS = 40;

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
 * Parts that do not exist yet are taken as they are, so that the answer does not tell what there is outside. It is a check of what is
 * there now.
 * @returns what the path really is, without links.
 * @throws AppError uri_forbidden if a link leads out.
 */
export async function checkRealPath(
  path: string,
  uri: string,
  bounds: readonly FileBound[],
): Promise<string> {
  try {
    const real = await realPathOf(path);
    for (const { folders, refusal } of bounds) {
      const realFolders = await Promise.all(folders.map((folder) => realPathOf(folder)));
      if (!isPathBelowAny(real, realFolders)) throw refusal(uri, 'a link on its way leads outside');
    }
    return real;
  } catch (error) {
    throw fileError(error, uri);
  }
}

/** Real path of the deepest part that exists, also where links lead to what does not exist, with the rest appended. */
async function realPathOf(path: string, linksLeft = MOST_LINKS): Promise<string> {
  const missing: string[] = [];
  for (let existing = path; ; existing = dirname(existing)) {
    try {
      return join(await realpath(existing), ...missing);
    } catch (error) {
      if (!isMissing(error)) throw error;
      const target = await targetOf(existing);
      if (target !== null && linksLeft > 0) return realPathOf(join(target, ...missing), linksLeft - 1);
      missing.unshift(basename(existing));
    }
  }
}

/** Where a link leads; null for what is no link. */
async function targetOf(path: string): Promise<string | null> {
  try {
    const target = await readlink(path);
    return resolve(await realpath(dirname(path)), target);
  } catch {
    return null;
  }
}

export function isPathBelowAny(path: string, folders: readonly string[]): boolean {
  return folders.some(
    (folder) => path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`),
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
