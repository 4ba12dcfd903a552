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

export function isIgnoredPath(path: string): boolean {
  return path.split('/').some(isIgnoredName);
}

/**
 * Why an archive entry's name is not safe, or null if it is.
 *
 * Every spelling of a way out is refused on every system: an archive is unsafe or not, whoever unpacks it.
 */
export function unsafeNameReason(name: string): string | null {
  if (name === '') return 'its name is empty';
  if (name.includes('\0')) return 'its name contains a NUL byte';
  if (name.includes('\\')) return 'its name contains a backslash';
  if (name.startsWith('/')) return 'its name is an absolute path';
  if (/^[A-Za-z]:/.test(name)) return 'its name starts with a drive letter';
  if (name.split('/').includes('..')) return 'its name contains ".."';
  return null;
}

/** The name without "." parts and doubled or closing slashes; '' for the root itself. */
export function tidyName(name: string): string {
  return name
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}
