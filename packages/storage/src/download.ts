import { createHash, randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { AppError, type ObjectReadable, type ObjectStores, printableUri } from '@headstart/contracts';
import type { FileDigest } from './hash.js';
import { checkSize } from './read-bytes.js';

export interface DownloadOptions {
  maxBytes: number;
  signal?: AbortSignal;
  /** Called after every piece; `totalBytes` is null where the store did not announce a size. */
  onProgress?(doneBytes: number, totalBytes: number | null): void;
}

/**
 * Downloads one object at s3://, file:// or https:// and hashes it on the way.
 *
 * `file` appears only when it is whole, its folder is made where it is missing, and a failure leaves nothing behind.
 * @throws AppError payload_too_large beyond `maxBytes`, disk_full, or an error of the store. An aborted signal rejects with its
 *   own reason.
 */
export async function downloadTo(
  stores: ObjectStores,
  uri: string,
  file: string,
  options: DownloadOptions,
): Promise<FileDigest> {
  const { signal } = options;
  const partial = `${file}.${randomUUID()}.part`;
  try {
    const { store, key } = stores.locate(uri);
    const source = await store.read(key, signal && { signal });
    try {
      const digest = await save(source, partial, printableUri(uri), options);
      await rename(partial, file);
      return digest;
    } finally {
      source.destroy();
    }
  } catch (error) {
    await rm(partial, { force: true });
    throw signal?.aborted ? signal.reason : AppError.from(error);
  }
}

async function save(
  source: ObjectReadable,
  partial: string,
  uri: string,
  { maxBytes, signal, onProgress }: DownloadOptions,
): Promise<FileDigest> {
  checkSize(source.sizeBytes ?? 0, maxBytes, uri);
  await mkdir(dirname(partial), { recursive: true });
  const hash = createHash('sha256');
  let doneBytes = 0;
  const inspect = async function* (parts: AsyncIterable<Buffer>) {
    for await (const part of parts) {
      doneBytes += part.byteLength;
      checkSize(doneBytes, maxBytes, uri);
      hash.update(part);
      yield part;
      onProgress?.(doneBytes, source.sizeBytes);
    }
  };
  // 'wx': what is written to is a file of this download alone, never a link that someone left there.
  await pipeline(source, inspect, createWriteStream(partial, { flags: 'wx' }), { ...(signal && { signal }) });
  return { sizeBytes: doneBytes, sha256: hash.digest('hex') };
}
