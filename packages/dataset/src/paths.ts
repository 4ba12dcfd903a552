import { NAME_LENGTH } from './limits.js';

/** Orders strings by UTF-16 code unit: the same everywhere, whatever the locale. */
export function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function joinKey(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}

/** Names that tools leave behind and that are never data: hidden ones (`.ipynb_checkpoints` too) and `__MACOSX`. */
export function isIgnoredName(name: string): boolean {
  return name.startsWith('.') || name === '__MACOSX';
}

/** What is ignored of a path's place, for the report: its outermost ignored folder, or a folder's hidden files; else null. */
export function ignoredPlace(path: string): string | null {
  const parts = path.split('/');
  const first = parts.findIndex(isIgnoredName);
  if (first < 0) return null;
  return first === parts.length - 1
    ? joinKey(parts.slice(0, -1).join('/'), '.*')
    : `${parts.slice(0, first + 1).join('/')}/`;
}

/**
 * Why an archive entry's name is not safe, or null if it is.
 *
 * Every spelling of a way out is refused on every system: an archive is unsafe or not, whoever unpacks it.
 */
export function unsafeNameReason(name: string): string | null {
  if (name === '') return 'its name is empty';
  if (name.length > NAME_LENGTH) return `its name is longer than ${NAME_LENGTH} characters`;
  if (name.includes('\0')) return 'its name contains a NUL byte';
  if (name.includes('\\')) return 'its name contains a backslash';
  if (name.startsWith('/')) return 'its name is an absolute path';
  if (/^[A-Za-z]:/.test(name)) return 'its name starts with a drive letter';
  // Windows takes dots and spaces off the end of a name.
  if (name.split('/').some((part) => /^\.\.[. ]*$/.test(part))) return 'its name contains ".."';
  return null;
}

/** The name without "." parts and doubled or closing slashes; '' for the root itself. */
export function tidyName(name: string): string {
  return name
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}
