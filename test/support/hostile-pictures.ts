import { crc32 } from 'node:zlib';
import { plainPicture } from './pictures.js';

/** A PNG chunk with its length and check. */
function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc32(body), framed.length - 4);
  return framed;
}

/** A small PNG that says it has another size. */
export async function pngOfSize(width: number, height: number): Promise<Buffer> {
  const png = await plainPicture({ r: 1, g: 2, b: 3 }).png().toBuffer();
  const header = Buffer.from(png.subarray(16, 29));
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  return Buffer.concat([png.subarray(0, 8), chunk('IHDR', header), png.subarray(33)]);
}

/** A PNG of `first` that is an animation with a second frame of `second`, both 32x24. */
export async function apng(
  first: Parameters<typeof plainPicture>[0],
  second: Parameters<typeof plainPicture>[0],
): Promise<Buffer> {
  const [one, two] = await Promise.all(
    [first, second].map((colour) => plainPicture(colour).png().toBuffer()),
  );
  const control = (sequence: number) => {
    const data = Buffer.alloc(26);
    [sequence, 32, 24].forEach((value, index) => data.writeUInt32BE(value, index * 4));
    data.writeUInt16BE(1, 20);
    data.writeUInt16BE(10, 22);
    return chunk('fcTL', data);
  };
  const animation = Buffer.alloc(8);
  animation.writeUInt32BE(2);
  const dataAt = one!.indexOf('IDAT') - 4;
  const endAt = one!.indexOf('IEND') - 4;
  const secondAt = two!.indexOf('IDAT') - 4;
  const sequence = Buffer.alloc(4);
  sequence.writeUInt32BE(2);
  const secondData = two!.subarray(secondAt + 8, secondAt + 8 + two!.readUInt32BE(secondAt));
  return Buffer.concat([
    one!.subarray(0, dataAt),
    chunk('acTL', animation),
    control(0),
    one!.subarray(dataAt, endAt),
    control(1),
    chunk('fdAT', Buffer.concat([sequence, secondData])),
    one!.subarray(endAt),
  ]);
}

/**
 * A gray progressive JPEG of one colour whose scans go over all of it again and again: a hundred bytes each, and a pass
 * over every block for the decoder.
 */
export function jpegOfScans(sidePx: number, scans: number): Buffer {
  const segment = (marker: number, ...bytes: number[]) =>
    Buffer.from([0xff, marker, (bytes.length + 2) >> 8, (bytes.length + 2) & 255, ...bytes]);
  const size = [sidePx >> 8, sidePx & 255];
  const oneCode = [1, ...Array<number>(15).fill(0)];
  const blocks = Math.ceil(sidePx / 8) ** 2;
  const refine = Buffer.concat([segment(0xda, 1, 1, 0, 1, 63, 0), endOfBands(blocks)]);
  return Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    segment(0xdb, 0, ...Array<number>(64).fill(1)),
    segment(0xc2, 8, ...size, ...size, 1, 1, 0x11, 0),
    segment(0xc4, 0x00, ...oneCode, 0x00),
    segment(0xc4, 0x10, ...oneCode, 0xe0),
    segment(0xda, 1, 1, 0, 0, 0, 0),
    Buffer.alloc(Math.ceil(blocks / 8)),
    ...Array<Buffer>(scans).fill(refine),
    Buffer.from([0xff, 0xd9]),
  ]);
}

/** The code "nothing in the next n blocks", as often as it takes; n is 16384 and more, in 14 bits. */
function endOfBands(blocks: number): Buffer {
  let bits = '';
  for (let left = blocks; left > 0; left -= 32_767)
    bits += `0${(Math.min(Math.max(left, 16_384), 32_767) - 16_384).toString(2).padStart(14, '0')}`;
  const bytes = bits.match(/.{1,8}/g)!.map((byte) => Number.parseInt(byte.padEnd(8, '1'), 2));
  // A byte of ones would begin a marker.
  return Buffer.from(bytes.flatMap((byte) => (byte === 0xff ? [0xff, 0x00] : [byte])));
}
