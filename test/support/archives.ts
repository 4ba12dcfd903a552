import { buffer } from 'node:stream/consumers';
import { crc32, deflateRawSync } from 'node:zlib';
import { pack, type Header } from 'tar-stream';

export interface ZipEntry {
  name: string;
  data?: Uint8Array;
  /** Unix mode with the file's type, for example 0o120777 for a symbolic link; 0 as archivers on Windows leave it. */
  mode?: number;
  /** Declares this size in place of the real one. */
  declaredSize?: number;
  /** Sets the flag of an encrypted entry. */
  encrypted?: boolean;
}

/** A .zip of deflated entries under exactly the names given, which no archiver would let pass. */
export function makeZip(entries: ZipEntry[]): Buffer {
  const locals: Buffer[] = [];
  const centrals: Buffer[] = [];
  let offset = 0;
  for (const { name, data = new Uint8Array(), mode = 0, declaredSize, encrypted = false } of entries) {
    const nameBytes = Buffer.from(name);
    const deflated = deflateRawSync(data);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(0x800 | (encrypted ? 1 : 0), 2);
    common.writeUInt16LE(8, 4);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(deflated.length, 14);
    common.writeUInt32LE(declaredSize ?? data.length, 18);
    common.writeUInt16LE(nameBytes.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, nameBytes, deflated]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE((mode << 16) >>> 0, 6);
    tail.writeUInt32LE(offset, 10);
    centrals.push(Buffer.from('PK\x01\x02'), Buffer.from([20, 3]), common, tail, nameBytes);
    locals.push(local);
    offset += local.length;
  }
  const central = Buffer.concat(centrals);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(entries.length, 4);
  end.writeUInt16LE(entries.length, 6);
  end.writeUInt32LE(central.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...locals, central, Buffer.from('PK\x05\x06'), end]);
}

export type TarEntry = Partial<Header> & { name: string; data?: Uint8Array };

export async function makeTar(entries: TarEntry[]): Promise<Buffer> {
  const tar = pack();
  for (const { data, ...header } of entries) tar.entry(header, Buffer.from(data ?? new Uint8Array()));
  tar.finalize();
  return buffer(tar as AsyncIterable<Buffer>);
}
