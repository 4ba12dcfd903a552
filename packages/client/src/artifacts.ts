import { AppError } from '@headstart/contracts';
import type { CallOptions, Transport } from './transport.js';

export interface ArtifactOptions extends CallOptions {
  /** Bytes from `start` to `end`, both included and counted from 0; without `end` to the last one. */
  range?: { start: number; end?: number };
}

export interface ArtifactDownload {
  /** The bytes as they come; it errors where the connection breaks. */
  body: ReadableStream<Uint8Array>;
  /** Of what is sent: the file, or the range of it; null where the answer does not say, as behind some gateways. */
  sizeBytes: number | null;
  contentType: string;
}

/** Reads one of a job's files from the API, or from the object store that it leads to. */
export async function downloadArtifact(
  transport: Transport,
  id: string,
  path: string,
  { range, signal }: ArtifactOptions,
): Promise<ArtifactDownload> {
  const steps = ['jobs', id, 'artifacts', ...path.split('/')].map(encodeURIComponent);
  const call = {
    headers: { accept: '*/*', ...(range && { range: `bytes=${range.start}-${range.end ?? ''}` }) },
    ...(signal && { signal }),
  };
  const answer = await transport.open('GET', `/${steps.join('/')}`, { ...call, redirect: 'manual' });
  const link = answer.headers.get('location');
  // Without the key, which is the service's alone: the link needs none.
  const file = link === null ? answer : await fetch(link, call).catch(() => null);
  signal?.throwIfAborted();
  if (!file?.ok || !file.body)
    // Not with the link itself: whoever has it may read the file.
    throw new AppError(
      'storage_unavailable',
      `The object store ${file ? `answered ${file.status}` : 'did not answer'} for ${path} of job ${id}. Try again.`,
    );
  const length = file.headers.get('content-length');
  return {
    body: file.body,
    sizeBytes: length === null ? null : Number(length),
    contentType: file.headers.get('content-type') ?? 'application/octet-stream',
  };
}
