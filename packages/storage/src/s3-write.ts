import { setTimeout as delay } from 'node:timers/promises';
import { HeadObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { AppError, type WriteOptions } from '@headstart/contracts';
import type { SizedBody } from './body.js';
import { s3Error, s3Status } from './s3-errors.js';

/** Bodies up to this size go up in one request; larger ones in parts of it. */
const PART_BYTES = 16 * 1024 * 1024;
/** S3's limit. */
const MAX_PARTS = 10_000;
/** Parts in flight, each of them in memory. */
const PARALLEL_PARTS = 4;
const CONFLICT_TRIES = 5;

export interface S3Target {
  bucket: string;
  key: string;
  /** For messages. */
  uri: string;
}

/**
 * Stores one object under the SDK's default checksums, and checks with a HEAD that its size arrived.
 *
 * A try whose answer was lost on the way is made again by the SDK, so that `onlyIfAbsent` can also say false of an object that
 * this very call wrote. Callers that must know whose it is read it.
 * @returns false where `onlyIfAbsent` is set and the object exists.
 */
export async function writeS3Object(
  client: S3Client,
  target: S3Target,
  body: SizedBody,
  options: WriteOptions,
): Promise<boolean> {
  for (let tries = 1; ; tries += 1) {
    try {
      options.signal?.throwIfAborted();
      await upload(client, target, body, options);
      await checkArrived(client, target, body.sizeBytes, options.signal);
      return true;
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason;
      if (options.onlyIfAbsent && s3Status(error) === 412) return false;
      // 409: another write of the same key is under way. S3's documentation says to try again, parts and all.
      if (s3Status(error) !== 409 || tries === CONFLICT_TRIES) throw s3Error(error, target.uri);
      await delay(100 * 2 ** tries);
    }
  }
}

async function upload(
  client: S3Client,
  { bucket, key }: S3Target,
  body: SizedBody,
  { contentType, onlyIfAbsent, signal }: WriteOptions,
): Promise<void> {
  const params = {
    Bucket: bucket,
    Key: key,
    ...(contentType !== undefined && { ContentType: contentType }),
    ...(onlyIfAbsent && { IfNoneMatch: '*' }),
  };
  if (body.sizeBytes > PART_BYTES) return uploadParts(client, params, body, signal);
  // From memory, not from a stream: only then can the SDK send it again.
  const put = new PutObjectCommand({ ...params, Body: await body.bytes() });
  await client.send(put, { ...(signal && { abortSignal: signal }) });
}

async function uploadParts(
  client: S3Client,
  params: { Bucket: string; Key: string },
  body: SizedBody,
  signal: AbortSignal | undefined,
): Promise<void> {
  const content = body.open();
  const parts = new Upload({
    client,
    params: { ...params, Body: content },
    partSize: Math.max(PART_BYTES, Math.ceil(body.sizeBytes / MAX_PARTS)),
    queueSize: PARALLEL_PARTS,
  });
  // Not `parts.abort()`: that rejects at once, and a process that ends then leaves the parts that went up behind. An upload
  // whose source breaks ends after it has removed them.
  const abort = () => void content.destroy(new Error('aborted'));
  signal?.addEventListener('abort', abort, { once: true });
  try {
    await parts.done();
  } finally {
    signal?.removeEventListener('abort', abort);
    content.destroy();
  }
}

async function checkArrived(
  client: S3Client,
  target: S3Target,
  sizeBytes: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const command = new HeadObjectCommand({ Bucket: target.bucket, Key: target.key });
  const head = await client.send(command, { ...(signal && { abortSignal: signal }) });
  if (head.ContentLength === sizeBytes) return;
  throw new AppError(
    'storage_unavailable',
    `${target.uri} has ${head.ContentLength ?? 'an unknown number of'} bytes after ${sizeBytes} were sent. Try again.`,
  );
}
