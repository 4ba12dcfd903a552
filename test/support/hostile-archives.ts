import { createWriteStream } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { createGzip, gzipSync } from 'node:zlib';
import { makeTar, makeZip } from './archives.js';

const MB = 1_000_000;

/** A zip of `count` names for the same bytes, as the classic overlapping bomb. */
export function overlappingZip(count: number, data: Buffer): Buffer {
  const archive = makeZip([{ name: 'ants/00000.png', data }]);
  const endAt = archive.lastIndexOf('PK\x05\x06');
  const centralAt = archive.readUInt32LE(endAt + 16);
  const entry = archive.subarray(centralAt, endAt);
  const central = Buffer.concat(
    Array.from({ length: count }, (_, index) => {
      const copy = Buffer.from(entry);
      copy.write(String(index).padStart(5, '0'), 46 + 'ants/'.length);
      return copy;
    }),
  );
  const end = Buffer.from(archive.subarray(endAt));
  end.writeUInt16LE(count, 8);
  end.writeUInt16LE(count, 10);
  end.writeUInt32LE(central.length, 12);
  return Buffer.concat([archive.subarray(0, centralAt), central, end]);
}

/** A zip of that many empty files, with the end records of zip64. */
export function crowdedZip(count: number): Buffer {
  const NAME_LENGTH = 'ants/0000000'.length;
  const local = Buffer.alloc(30 + NAME_LENGTH);
  local.write('PK\x03\x04', 'latin1');
  local.writeUInt16LE(NAME_LENGTH, 26);
  const central = Buffer.alloc(46 + NAME_LENGTH);
  central.write('PK\x01\x02', 'latin1');
  central.writeUInt16LE(NAME_LENGTH, 28);
  const localBytes = count * local.length;
  const centralBytes = count * central.length;
  const archive = Buffer.alloc(localBytes + centralBytes);
  for (let i = 0; i < count; i++) {
    const name = `ants/${String(i).padStart(7, '0')}`;
    local.write(name, 30);
    local.copy(archive, i * local.length);
    central.writeUInt32LE(i * local.length, 42);
    central.write(name, 46);
    central.copy(archive, localBytes + i * central.length);
  }
  const end64 = Buffer.alloc(56);
  end64.write('PK\x06\x06', 'latin1');
  end64.writeBigUInt64LE(44n, 4);
  for (const at of [24, 32]) end64.writeBigUInt64LE(BigInt(count), at);
  end64.writeBigUInt64LE(BigInt(centralBytes), 40);
  end64.writeBigUInt64LE(BigInt(localBytes), 48);
  const locator = Buffer.alloc(20);
  locator.write('PK\x06\x07', 'latin1');
  locator.writeBigUInt64LE(BigInt(archive.length), 8);
  locator.writeUInt32LE(1, 16);
  const end = Buffer.alloc(22, 0xff);
  end.write('PK\x05\x06\0\0\0\0', 'latin1');
  end.writeUInt16LE(0, 20);
  return Buffer.concat([archive, end64, locator, end]);
}

/** Writes a .tar.gz of that many empty files, each with random bytes that keep the ratio low. */
export async function writeCrowdedTarGz(file: string, count: number): Promise<void> {
  const header = (await makeTar([{ name: 'ants/0000000' }])).subarray(0, 512);
  const CHUNK = 1000;
  function* headers() {
    for (let from = 0; from < count; from += CHUNK) {
      const chunk = Buffer.alloc(CHUNK * header.length);
      const noise = randomBytes(CHUNK * 12).toString('hex');
      for (let i = 0; i < CHUNK; i++) {
        const at = i * header.length;
        header.copy(chunk, at);
        chunk.write(String(from + i).padStart(7, '0'), at + 'ants/'.length);
        chunk.write(noise.slice(i * 24, i * 24 + 24), at + OWNER);
        writeChecksum(chunk.subarray(at, at + header.length));
      }
      yield chunk;
    }
  }
  await pipeline(headers, createGzip({ level: 1 }), createWriteStream(file));
}

/** Where a tar header has its fields. */
const SIZE = 124;
const CHECKSUM = 148;
const TYPE = 156;
const OWNER = 265;

/** Makes a changed tar header valid again. */
function writeChecksum(header: Buffer): void {
  header.fill(' ', CHECKSUM, TYPE);
  let sum = 0;
  for (let i = 0; i < 512; i++) sum += header[i]!;
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, CHECKSUM);
}

/** A .tar.gz of one file of zeros, of a gigabyte. */
export async function zerosTarGz(): Promise<Buffer> {
  const MEMBER_BYTES = 10 * MB;
  const MEMBERS = 100;
  const whole = await makeTar([{ name: 'ants/zeros.png', data: Buffer.alloc(1) }]);
  const header = Buffer.from(whole.subarray(0, 512));
  header.write((MEMBERS * MEMBER_BYTES).toString(8).padStart(11, '0'), SIZE);
  writeChecksum(header);
  const zeros = gzipSync(Buffer.alloc(MEMBER_BYTES));
  // Members of a gzip file follow each other as if they were one.
  return Buffer.concat([gzipSync(header), ...Array<Buffer>(MEMBERS).fill(zeros)]);
}

/** A tar whose only file says that it has five terabytes. */
export async function boastingTar(): Promise<Buffer> {
  const tar = Buffer.from(await makeTar([{ name: 'ants/1.png', data: Buffer.alloc(1000) }]));
  // Base 256, as sizes that octal digits cannot hold are written.
  tar.fill(0, SIZE, SIZE + 12);
  tar[SIZE] = 0x80;
  tar.writeUIntBE(5e12, SIZE + 6, 6);
  writeChecksum(tar);
  return tar;
}

/** A tar whose extended header of the given size comes before its only file. */
export async function longHeaderTar(sizeBytes: number): Promise<Buffer> {
  const bytes = await makeTar([
    { name: 'header', data: Buffer.alloc(sizeBytes, 'a') },
    { name: 'ants/1.png', data: Buffer.alloc(1) },
  ]);
  bytes.write('x', TYPE);
  writeChecksum(bytes);
  return bytes;
}

/** A zip in a zip in a zip, with zeros in the innermost. */
export function nestedZip(): Buffer {
  const innermost = makeZip([{ name: 'zeros.png', data: Buffer.alloc(10 * MB) }]);
  return makeZip([{ name: 'inner.zip', data: innermost }]);
}
