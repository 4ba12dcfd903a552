import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { access, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AppError } from '@headstart/contracts';

/** Keras Applications' VGG19 without the top: 80,134,624 bytes. Keras checks the same MD5. */
export const IMAGENET_FILE = 'vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5';
const IMAGENET_MD5 = '253f8cb515780f3b799900260a226db6';

export interface DownloadOptions {
  url: string;
  signal: AbortSignal;
  onProgress(doneBytes: number, totalBytes: number | null): void;
}

/**
 * The ImageNet weights on this machine: from `cacheDir`, else downloaded into it.
 * @returns the file's path. @throws AppError weights_unavailable, saying what can be done; disk_full.
 */
export function imagenetFile(cacheDir: string, options: DownloadOptions): Promise<string> {
  return verifiedFile(join(cacheDir, IMAGENET_FILE), IMAGENET_MD5, options);
}

/** A file that has the MD5: the one that is there, else downloaded. @throws as imagenetFile. */
export async function verifiedFile(
  file: string,
  expectedMd5: string,
  options: DownloadOptions,
): Promise<string> {
  const { url, signal } = options;
  const unavailable = (what: string, cause?: unknown) => weightsUnavailable(what, file, expectedMd5, cause);
  if (await exists(file)) {
    const md5 = await md5Of(file, signal);
    if (md5 === expectedMd5) return file;
    throw unavailable(`the file ${file} has the MD5 ${md5}, not ${expectedMd5}`);
  }
  await mkdir(dirname(file), { recursive: true });
  // Beside its place: several trainers may be at it at once, and each moves a whole file there.
  const partial = `${file}.${randomUUID()}.part`;
  try {
    const md5 = await download(partial, options);
    if (md5 !== expectedMd5) throw unavailable(`${url} sent a file with the MD5 ${md5}, not ${expectedMd5}`);
    await rename(partial, file);
    return file;
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    const appError = AppError.from(error);
    if (appError.code !== 'internal_error') throw appError;
    throw unavailable(`${url} cannot be downloaded (${reasonOf(error)})`, error);
  } finally {
    await rm(partial, { force: true });
  }
}

/** @returns the MD5 of what came. */
async function download(file: string, { url, signal, onProgress }: DownloadOptions): Promise<string> {
  const response = await fetch(url, { signal });
  if (!response.ok || !response.body) throw new Error(`HTTP status ${response.status}`);
  const totalBytes = Number(response.headers.get('content-length')) || null;
  const hash = createHash('md5');
  let doneBytes = 0;
  const count = new Transform({
    transform(part: Buffer, _encoding, done) {
      doneBytes += part.byteLength;
      hash.update(part);
      onProgress(doneBytes, totalBytes);
      done(null, part);
    },
  });
  await pipeline(Readable.fromWeb(response.body), count, createWriteStream(file), {
    signal,
  });
  return hash.digest('hex');
}

async function md5Of(file: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('md5');
  await pipeline(createReadStream(file), hash, { signal });
  return hash.digest('hex');
}

function weightsUnavailable(what: string, file: string, md5: string, cause: unknown): AppError {
  return new AppError(
    'weights_unavailable',
    `The ImageNet weights cannot be had: ${what}. Put the file at ${file} on the worker, or post the job with model.weights set to the URI of such a file or to "random".`,
    { cause, details: { file, md5 } },
  );
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // fetch itself says only "fetch failed"; its cause says why.
  const { cause } = error;
  return cause instanceof Error ? cause.message || cause.name : error.message;
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
