import { createReadStream } from 'node:fs';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract, type Extract, type Header } from 'tar-stream';
import type { Unpacker } from './unpacker.js';

/** Hands every entry of a .tar or a gzipped one to the unpacker. */
export async function unpackTar(
  archive: string,
  { gzip, unpacker, signal }: { gzip: boolean; unpacker: Unpacker; signal: AbortSignal },
): Promise<void> {
  const entries = extract();
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      try {
        unpacker.countExpanded(chunk.length);
        done(null, chunk);
      } catch (error) {
        done(error as Error);
      }
    },
  });
  const unzip = gzip ? [createGunzip()] : [];
  const piping = pipeline([createReadStream(archive), ...unzip, counter, entries], { signal });
  // Whichever fails first ends the other with an error that says less; the first is the one to report.
  const failures: unknown[] = [];
  const noteFailure = (error: unknown) => void failures.push(error);
  await Promise.all([piping.catch(noteFailure), readEntries(entries, unpacker).catch(noteFailure)]);
  signal.throwIfAborted();
  if (failures.length > 0) throw failures[0];
}

async function readEntries(entries: Extract, unpacker: Unpacker): Promise<void> {
  for await (const entry of entries) {
    const path = unpacker.admit(entry.header.name, kindOf(entry.header));
    if (path === null) entry.resume();
    else await unpacker.store(path, entry as AsyncIterable<Buffer>);
  }
}

function kindOf({ type, name }: Header): 'file' | 'folder' | { other: string } {
  switch (type) {
    case 'file':
    case 'contiguous-file':
      return name.endsWith('/') ? 'folder' : 'file';
    case 'directory':
      return 'folder';
    default:
      return { other: `of type ${type}` };
  }
}
