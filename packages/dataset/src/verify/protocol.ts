/**
 * What the two sides of a decoder process tell each other over its IPC channel, as JSON.
 *
 *   parent                 decoder, started with its limits as argument
 *   {file} --------------> decodes it
 *          <-------------- an Answer, one for each file
 *
 * A decoder that answers `stopped` ends itself behind it: there is no other way to stop a native decoder.
 */
import type { PictureFormat } from '../pictures/format.js';

export interface Request {
  /** Absolute path, without links. */
  file: string;
}

export type Answer =
  | { type: 'verified'; sha256: string; format: PictureFormat }
  /** No usable picture. */
  | { type: 'refused'; reason: string }
  /** It cost too much. */
  | { type: 'stopped'; reason: string }
  /** The file could not be read. */
  | { type: 'failed'; message: string };
