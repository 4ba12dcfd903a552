import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { AppError, type ObjectBody } from '@headstart/contracts';

/** What is to be written, its size known before. */
export interface SizedBody {
  sizeBytes: number;
  /** A new stream of the bytes, which the caller destroys. */
  open(): Readable;
  /** All bytes in memory: for small bodies. */
  bytes(): Promise<Uint8Array>;
}

/** @throws AppError if the file cannot be read: a fault on this side, not of the store that it goes to. */
export async function sizedBody(body: ObjectBody): Promise<SizedBody> {
  if (body instanceof Uint8Array)
    return {
      sizeBytes: body.byteLength,
      open: () => Readable.from([body]),
      bytes: () => Promise.resolve(body),
    };
  const { file } = body;
  try {
    const { size } = await stat(file);
    return { sizeBytes: size, open: () => createReadStream(file), bytes: () => readFile(file) };
  } catch (error) {
    throw AppError.from(error);
  }
}
