import { AppError, type ObjectReadable } from '@headstart/contracts';

/**
 * Whole stream in memory.
 * @throws AppError payload_too_large as soon as it is known to exceed `maxBytes`; the stream is destroyed then.
 */
export async function readAll(stream: ObjectReadable, maxBytes: number, uri: string): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let sizeBytes = 0;
  try {
    checkSize(stream.sizeBytes ?? 0, maxBytes, uri);
    for await (const part of stream as AsyncIterable<Buffer>) {
      sizeBytes += part.byteLength;
      checkSize(sizeBytes, maxBytes, uri);
      parts.push(part);
    }
  } finally {
    stream.destroy();
  }
  return Buffer.concat(parts, sizeBytes);
}

/** @throws AppError payload_too_large where `sizeBytes` exceeds the limit. */
export function checkSize(sizeBytes: number, maxBytes: number, uri: string): void {
  if (sizeBytes <= maxBytes) return;
  throw new AppError(
    'payload_too_large',
    `${uri} has ${sizeBytes} bytes or more; at most ${maxBytes} are allowed. Use a smaller one.`,
    { details: { uri, maxBytes } },
  );
}
