import { getFileNameLowLevel, openPromise, type Entry, type ZipFile } from 'yauzl';
import type { Unpacker } from './unpacker.js';

const FILE_TYPE_MASK = 0o170000;
const REGULAR = 0o100000;
const DIRECTORY = 0o040000;

/** Hands every entry of a .zip to the unpacker. */
export async function unpackZip(archive: string, unpacker: Unpacker, signal: AbortSignal): Promise<void> {
  // Names are decoded below: with decodeStrings, yauzl turns backslashes into slashes before they could be refused.
  const zip = await openPromise(archive, { decodeStrings: false });
  try {
    unpacker.checkEntryCount(zip.entryCount);
    for await (const entry of zip.eachEntry()) {
      signal.throwIfAborted();
      const { generalPurposeBitFlag, fileNameRaw, extraFields } = entry;
      const name = getFileNameLowLevel(generalPurposeBitFlag, fileNameRaw, extraFields, true);
      const path = unpacker.admit(name, kindOf(entry, name));
      if (path === null) continue;
      unpacker.countPacked(entry.compressedSize);
      if (!entry.canDecodeFileData())
        throw new Error(
          `entry "${name}" is ${entry.isEncrypted() ? 'encrypted' : `compressed by method ${entry.compressionMethod}`}, and only plain deflate can be read`,
        );
      await unpacker.store(path, read(zip, entry, unpacker, signal));
    }
  } finally {
    zip.close();
  }
}

function kindOf(entry: Entry, name: string): 'file' | 'folder' | { other: string } {
  // Archivers on Unix keep the file's mode in the upper half; others leave it zero.
  switch ((entry.externalFileAttributes >>> 16) & FILE_TYPE_MASK) {
    case 0:
      return name.endsWith('/') ? 'folder' : 'file';
    case REGULAR:
      return 'file';
    case DIRECTORY:
      return 'folder';
    default:
      return { other: 'a link or a device' };
  }
}

/** Opens the entry when its first bytes are wanted, not before: an error while nobody listens would end the process. */
async function* read(
  zip: ZipFile,
  entry: Entry,
  unpacker: Unpacker,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const stream: AsyncIterable<Buffer> = await zip.openReadStreamPromise(entry);
  for await (const chunk of stream) {
    signal.throwIfAborted();
    unpacker.countExpanded(chunk.length);
    yield chunk;
  }
}
