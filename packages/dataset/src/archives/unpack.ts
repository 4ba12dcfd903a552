import { stat } from 'node:fs/promises';
import { AppError, printableUri } from '@headstart/contracts';
import type { DatasetLimits } from '../limits.js';
import { unpackTar } from './tar.js';
import { createUnpacker, type Unpacked } from './unpacker.js';
import { unpackZip } from './zip.js';

export interface UnpackOptions {
  /** Where the archive came from: its ending says what it is, and errors name it. */
  uri: string;
  directory: string;
  limits: DatasetLimits;
  signal: AbortSignal;
}

/**
 * Unpacks a .zip, .tar, .tar.gz or .tgz into numbered files in `directory`.
 *
 * @throws AppError('archive_unsafe') for names that lead out, links, devices and bombs; AppError('dataset_invalid')
 *   for an archive that cannot be read; the signal's reason.
 */
export async function unpackArchive(
  archive: string,
  { uri, directory, limits, signal }: UnpackOptions,
): Promise<Unpacked> {
  const unpacker = await createUnpacker(directory, (await stat(archive)).size, limits);
  const ending = uri.toLowerCase();
  try {
    if (ending.endsWith('.zip')) await unpackZip(archive, unpacker, signal);
    else await unpackTar(archive, { gzip: !ending.endsWith('.tar'), unpacker, signal });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof AppError) throw error;
    const wrapped = AppError.from(error);
    if (wrapped.code === 'disk_full') throw wrapped;
    throw new AppError(
      'dataset_invalid',
      `The archive ${printableUri(uri)} cannot be read: ${wrapped.message}. It is damaged, or not of the kind that its ending says. Pack it anew, and post the job again.`,
      { cause: error },
    );
  }
  return unpacker.result;
}
