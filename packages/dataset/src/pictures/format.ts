export const PICTURE_FORMATS = ['jpeg', 'png', 'webp', 'gif'] as const;
export type PictureFormat = (typeof PICTURE_FORMATS)[number];

const ASCII = 'latin1';

/**
 * The format that a file's first bytes announce, whatever its name says, or a reason why it is not one to be decoded.
 *
 * Looked at before libvips sees a byte, so that its readers for SVG, PDF, TIFF and the like are never reached by data
 * that somebody sent.
 */
export function sniffFormat(bytes: Buffer): { format: PictureFormat } | { reason: string } {
  if (bytes.length === 0) return { reason: 'the file is empty' };
  const head = bytes.toString(ASCII, 0, 16);
  if (head.startsWith('\xff\xd8\xff')) return { format: 'jpeg' };
  if (head.startsWith('\x89PNG\r\n\x1a\n')) return { format: 'png' };
  if (head.startsWith('RIFF') && head.slice(8, 12) === 'WEBP') return { format: 'webp' };
  if (head.startsWith('GIF87a') || head.startsWith('GIF89a')) return { format: 'gif' };
  const other = otherKind(head);
  const what = other ? `it is ${other}` : 'its first bytes are of no picture format that is known';
  return { reason: `${what}; JPEG, PNG, WebP and GIF are read, so convert it to one of them if it belongs` };
}

function otherKind(head: string): string | null {
  if (head.startsWith('BM')) return 'a BMP picture';
  if (head.startsWith('II*\0') || head.startsWith('MM\0*')) return 'a TIFF picture';
  if (head.slice(4, 8) === 'ftyp') return 'an AVIF or HEIC picture or a video';
  if (head.startsWith('PK\x03\x04') || head.startsWith('\x1f\x8b')) return 'an archive within the data set';
  if (head.startsWith('%PDF')) return 'a PDF';
  if (/^[\t\n\r\x20-\x7e\x80-\xff]+$/.test(head)) return 'text';
  return null;
}
