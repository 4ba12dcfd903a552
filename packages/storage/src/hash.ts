import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { AppError } from '@headstart/contracts';

export interface FileDigest {
  sizeBytes: number;
  /** Lower-case hexadecimal. */
  sha256: string;
}

/** Size and SHA-256 of a file on this machine, read once as a stream. */
export async function hashFile(file: string): Promise<FileDigest> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  try {
    for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      sizeBytes += chunk.byteLength;
    }
  } catch (error) {
    throw AppError.from(error);
  }
  return { sizeBytes, sha256: hash.digest('hex') };
}
