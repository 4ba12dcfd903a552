import { Readable } from 'node:stream';
import {
  CopyObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  paginateListObjectsV2,
  type S3Client,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import {
  AppError,
  type ObjectBody,
  type ObjectInfo,
  type ObjectReadable,
  type ObjectStore,
  type ReadOptions,
  type WriteOptions,
} from '@headstart/contracts';
import { sizedBody } from './body.js';
import { guardStream } from './guarded-stream.js';
import { leavesFolder, notBelow } from './key-names.js';
import { readAll } from './read-bytes.js';
import { s3Error, s3Status } from './s3-errors.js';
import { writeS3Object } from './s3-write.js';

export interface S3Clients {
  requests: S3Client;
  /** Makes links, which lead to where clients reach the server, and sends nothing itself. */
  links: S3Client;
}

/** A bucket's prefix. Keys in S3 URIs are taken as they are: not percent-decoded. Those with `..` are refused: some servers resolve it. */
export class S3Store implements ObjectStore {
  readonly uri: string;
  readonly #client: S3Client;
  readonly #links: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;

  /** @param prefix '' or with a slash at its end. */
  constructor({ requests, links }: S3Clients, bucket: string, prefix: string) {
    this.#client = requests;
    this.#links = links;
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.uri = `s3://${bucket}/${prefix}`;
  }

  uriOf(key: string): string {
    return `${this.uri}${key}`;
  }

  async *list({ signal }: { signal?: AbortSignal } = {}): AsyncGenerator<ObjectInfo> {
    for await (const { Contents = [] } of this.#pages({ prefix: this.#prefix, signal })) {
      for (const { Key = '', Size = 0 } of Contents) {
        // Consoles make such empty objects to show a folder.
        if (!Key.endsWith('/')) yield { key: Key.slice(this.#prefix.length), sizeBytes: Size };
      }
    }
  }

  async listFolders(key = ''): Promise<string[]> {
    const prefix = this.#keyOf(key === '' || key.endsWith('/') ? key : `${key}/`);
    const names: string[] = [];
    for await (const { CommonPrefixes = [] } of this.#pages({ prefix, delimiter: '/' })) {
      for (const { Prefix = '' } of CommonPrefixes) names.push(Prefix.slice(prefix.length, -1));
    }
    return names;
  }

  async stat(key: string, { signal }: { signal?: AbortSignal } = {}): Promise<ObjectInfo | null> {
    try {
      const command = new HeadObjectCommand(this.#target(key));
      const head = await this.#client.send(command, { ...(signal && { abortSignal: signal }) });
      return { key, sizeBytes: head.ContentLength ?? 0 };
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (s3Status(error) === 404) return null;
      throw s3Error(error, this.uriOf(key));
    }
  }

  async read(key: string, { signal, range }: ReadOptions = {}): Promise<ObjectReadable> {
    const uri = this.uriOf(key);
    try {
      const command = new GetObjectCommand({
        ...this.#target(key),
        ...(range && { Range: `bytes=${range.start}-${range.end}` }),
      });
      const { Body, ContentLength } = await this.#client.send(command, {
        ...(signal && { abortSignal: signal }),
      });
      if (!(Body instanceof Readable)) throw new Error('the answer has no body');
      return guardStream(Body, { uri, sizeBytes: ContentLength ?? null, signal });
    } catch (error) {
      throw signal?.aborted ? signal.reason : s3Error(error, uri);
    }
  }

  async readBytes(key: string, maxBytes: number): Promise<Uint8Array> {
    return readAll(await this.read(key), maxBytes, this.uriOf(key));
  }

  async write(key: string, body: ObjectBody, options: WriteOptions = {}): Promise<boolean> {
    const target = { bucket: this.#bucket, key: this.#keyOf(key), uri: this.uriOf(key) };
    return writeS3Object(this.#client, target, await sizedBody(body), options);
  }

  /** Up to S3's limit for one request, 5 GB. */
  async copy(from: string, to: string): Promise<void> {
    const { Bucket, Key } = this.#target(from);
    const CopySource = [Bucket, ...Key.split('/')].map(encodeURIComponent).join('/');
    try {
      await this.#client.send(new CopyObjectCommand({ ...this.#target(to), CopySource }));
    } catch (error) {
      throw s3Error(error, this.uriOf(from));
    }
  }

  async presignGet(key: string, expiresInSeconds: number): Promise<string> {
    try {
      return await getSignedUrl(this.#links, new GetObjectCommand(this.#target(key)), {
        expiresIn: expiresInSeconds,
      });
    } catch (error) {
      throw s3Error(error, this.uriOf(key));
    }
  }

  async deleteAll(prefix: string): Promise<void> {
    // A page has up to 1,000 keys, which is also the most that one DeleteObjects takes.
    for await (const { Contents = [] } of this.#pages({ prefix: this.#keyOf(prefix) })) {
      if (Contents.length > 0) await this.#deleteKeys(Contents.map(({ Key }) => Key ?? ''));
    }
  }

  async #deleteKeys(keys: string[]): Promise<void> {
    const Delete = { Objects: keys.map((Key) => ({ Key })), Quiet: true };
    try {
      const { Errors = [] } = await this.#client.send(
        new DeleteObjectsCommand({ Bucket: this.#bucket, Delete }),
      );
      const [first] = Errors;
      if (first)
        throw Object.assign(new Error(`${first.Key} was not removed: ${first.Message}`), {
          name: first.Code,
        });
    } catch (error) {
      throw s3Error(error, this.uri);
    }
  }

  async *#pages(options: { prefix: string; delimiter?: string; signal?: AbortSignal | undefined }) {
    const { prefix, delimiter, signal } = options;
    const pages = paginateListObjectsV2(
      { client: this.#client },
      { Bucket: this.#bucket, Prefix: prefix, ...(delimiter !== undefined && { Delimiter: delimiter }) },
      { ...(signal && { abortSignal: signal }) },
    );
    try {
      yield* pages;
    } catch (error) {
      throw signal?.aborted ? signal.reason : s3Error(error, `s3://${this.#bucket}/${prefix}`);
    }
  }

  #target(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#bucket, Key: this.#keyOf(key) };
  }

  /** @throws AppError uri_forbidden where the key would leave the folder. */
  #keyOf(key: string): string {
    if (leavesFolder(key)) throw notBelow(key, this.uri);
    return `${this.#prefix}${key}`;
  }
}

/** @throws AppError invalid_request where the URI names no bucket. */
export function parseS3Uri(uri: string): { bucket: string; key: string } {
  const match = /^s3:\/\/([A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9])(?:\/(.*))?$/s.exec(uri);
  if (!match)
    throw new AppError(
      'invalid_request',
      `${JSON.stringify(uri)} names no bucket. Use s3://bucket/key, the bucket of 3 to 63 letters, digits, dots and hyphens.`,
    );
  return { bucket: match[1] ?? '', key: match[2] ?? '' };
}
