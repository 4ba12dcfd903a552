import { AppError, type ErrorCode } from '@headstart/contracts';

const MEANINGS: Partial<Record<string, { code: ErrorCode; what: string }>> = {
  ENOENT: { code: 'storage_not_found', what: 'does not exist. Check the path' },
  ENOTDIR: { code: 'storage_not_found', what: 'is not there, or is not a folder. Check the path' },
  ELOOP: { code: 'storage_not_found', what: 'is a link that leads round in a circle. Check the path' },
  EISDIR: { code: 'storage_not_found', what: 'is a folder, not a file. Check the path' },
  EACCES: {
    code: 'storage_forbidden',
    what: "may not be used by the service's user. Change its permissions",
  },
  EPERM: { code: 'storage_forbidden', what: "may not be used by the service's user. Change its permissions" },
  EROFS: { code: 'storage_forbidden', what: 'is on a read-only file system. Use another folder' },
  ENAMETOOLONG: { code: 'storage_not_found', what: 'is a longer name than the file system allows' },
};

/** What a system error means for the file or folder at `uri`. */
export function fileError(error: unknown, uri: string): AppError {
  const known = AppError.from(error);
  if (known.code !== 'internal_error' || error === known) return known;
  const { code = '', message = String(error) } = error as NodeJS.ErrnoException;
  const meaning = MEANINGS[code];
  if (meaning) return new AppError(meaning.code, `${uri} ${meaning.what}.`, { cause: error });
  return new AppError('storage_unavailable', `${uri} cannot be used now: ${message}. Try again.`, {
    cause: error,
  });
}

/** True of an error that says that nothing is there; links that lead round in a circle lead nowhere. */
export function isMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP';
}
