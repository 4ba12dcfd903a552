import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { AppError } from '@headstart/contracts';
import { mapConcurrently } from '../concurrency.js';
import { DECODE_CONCURRENCY, type DatasetLimits, STOPPED_PICTURES } from '../limits.js';
import type { PictureFormat } from '../pictures/format.js';
import { readPicture } from '../pictures/read.js';
import type { LocalFile, OnProgress, Refusal } from '../sources/source.js';
import { type Decoder, startDecoder } from './decoder.js';
import type { KnownPictures } from './known.js';
import type { Answer } from './protocol.js';

export interface VerifiedFile extends LocalFile {
  sha256: string;
  format: PictureFormat;
}

interface VerifyOptions {
  limits: DatasetLimits;
  known: KnownPictures | null;
  signal: AbortSignal;
  onProgress: OnProgress;
}

/**
 * Decodes every file once, whole, unless it is known, in processes of their own; those that are no usable picture, or cost too much, are
 * refused with a reason, which is no error.
 * @throws AppError('dataset_invalid') where too many cost too much; Error for a file that cannot be read; the signal's
 *   reason.
 */
export async function verifyFiles<T extends LocalFile>(
  files: readonly T[],
  { limits, known, signal, onProgress }: VerifyOptions,
): Promise<{ verified: (T & VerifiedFile)[]; refused: Refusal[] }> {
  const refused: Refusal[] = [];
  let done = 0;
  let stopped = 0;
  const report = () => onProgress({ done, total: files.length, unit: 'pictures' });
  report();
  const decoders = createDecoders(limits, signal);
  const concurrency = Math.min(DECODE_CONCURRENCY, availableParallelism());
  try {
    const results = await mapConcurrently(files, { concurrency, signal }, async (file) => {
      const answer = (await recall(file.file, known, limits)) ?? (await decoders.decode(file.file));
      done++;
      report();
      if (answer.type === 'failed') throw new Error(`${file.path} cannot be read: ${answer.message}`);
      if (answer.type === 'verified') {
        known?.add(answer.sha256, answer.format);
        return { ...file, sha256: answer.sha256, format: answer.format };
      }
      if (answer.type === 'stopped' && ++stopped > STOPPED_PICTURES)
        throw tooCostly(file.path, answer.reason);
      refused.push({ path: file.path, reason: answer.reason });
      return null;
    });
    // What is not kept, on a disk that is full for example, is decoded again the next time.
    await known?.save().catch(() => undefined);
    return { verified: results.filter((result) => result !== null), refused };
  } finally {
    decoders.end();
  }
}

/** The answer for a file whose bytes are known. */
async function recall(
  file: string,
  known: KnownPictures | null,
  limits: DatasetLimits,
): Promise<Answer | null> {
  if (!known || known.isEmpty) return null;
  // Why it cannot be read, its decoder says.
  const bytes = await readPicture(file, limits).catch(() => null);
  if (bytes === null) return null;
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const format = known.formatOf(sha256);
  return format ? { type: 'verified', sha256, format } : null;
}

function tooCostly(path: string, reason: string): AppError {
  return new AppError(
    'dataset_invalid',
    `More than ${STOPPED_PICTURES} pictures cost too much to decode, the last is "${path}": ${reason}. Save them anew at a smaller size, and post the job again.`,
    { details: { limit: STOPPED_PICTURES, path, reason } },
  );
}

/** As many decoders as are in use at a time, each taken again for the next file. */
function createDecoders(limits: DatasetLimits, signal: AbortSignal) {
  const all = new Set<Decoder>();
  const idle: Decoder[] = [];
  const end = () => {
    for (const decoder of all) decoder.kill();
  };
  signal.addEventListener('abort', end);

  async function decodeOnce(file: string, decoder: Decoder) {
    all.add(decoder);
    const answer = await decoder.decode(file);
    if (decoder.isAlive()) idle.push(decoder);
    else all.delete(decoder);
    return answer;
  }

  return {
    async decode(file: string): Promise<Answer> {
      let answer = await decodeOnce(file, idle.pop() ?? startDecoder(limits));
      signal.throwIfAborted();
      // Once more: a machine that is short of memory ends processes for no fault of the picture. And anew: those that wait may be gone too.
      if (answer.type === 'ended') answer = await decodeOnce(file, startDecoder(limits));
      signal.throwIfAborted();
      if (answer.type !== 'ended') return answer;
      return { type: 'refused', reason: `its decoder crashed on it, twice (${answer.how})` };
    },
    end() {
      signal.removeEventListener('abort', end);
      end();
    },
  };
}
