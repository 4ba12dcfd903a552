import { createHash } from 'node:crypto';
import sharp from 'sharp';
import { DatasetLimits } from '../limits.js';
import { decodePixels } from '../pictures/decode.js';
import { readPicture } from '../pictures/read.js';
import { UnusablePicture } from '../pictures/unusable.js';
import type { Answer, Request } from './protocol.js';

const WATCH_INTERVAL_MS = 20;

/** The decoder's process: one picture at a time, each held to its limits. `protocol.ts` says how it talks. */
function main(): void {
  process.title = 'headstart-decoder';
  const limits = DatasetLimits.parse(JSON.parse(process.argv[2] ?? ''));
  // No picture comes twice, and what is kept would count as the next one's memory.
  sharp.cache(false);
  process.on('disconnect', end);
  // A terminal's Ctrl-C reaches the whole process group; when to end is the parent's to say.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => undefined);
  process.on('message', (request) => void answer(request as Request, limits));
}

async function answer({ file }: Request, limits: DatasetLimits): Promise<void> {
  const stopWatching = watch(limits, (reason) => say({ type: 'stopped', reason }, end));
  try {
    say({ type: 'verified', ...(await verify(file, limits)) });
  } catch (error) {
    if (error instanceof UnusablePicture) say({ type: 'refused', reason: error.message });
    else say({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
  } finally {
    stopWatching();
  }
}

async function verify(file: string, limits: DatasetLimits) {
  const bytes = await readPicture(file, limits);
  const { format } = await decodePixels(bytes, limits);
  return { sha256: createHash('sha256').update(bytes).digest('hex'), format };
}

/**
 * Calls `stop` when the work since now has cost too much. Decoding runs on native threads, so the timer goes on beside it;
 * libvips's own time limit is looked at between rows alone, which the scans of a progressive JPEG are not.
 */
function watch(
  { decodeSeconds, decodeMemoryBytes }: DatasetLimits,
  stop: (reason: string) => void,
): () => void {
  const start = process.cpuUsage();
  const timer = setInterval(() => {
    const { user, system } = process.cpuUsage(start);
    if ((user + system) / 1e6 > decodeSeconds)
      stop(`decoding it takes more than ${decodeSeconds} seconds of processor time`);
    else if (process.memoryUsage.rss() > decodeMemoryBytes)
      stop(`decoding it takes more than ${decodeMemoryBytes / 1e6} MB of memory`);
    else return;
    clearInterval(timer);
  }, WATCH_INTERVAL_MS);
  return () => clearInterval(timer);
}

function say(answer: Answer, afterwards?: () => void): void {
  process.send?.(answer, undefined, undefined, () => afterwards?.());
}

/** At once: a plain exit would wait for the native threads. */
function end(): void {
  process.kill(process.pid, 'SIGKILL');
}

main();
