/**
 * One case on one engine, in a process of its own, so that its peak of memory is its own.
 *
 * Started as `engine-process.js ENGINE DEVICE THREADS CASE_AS_JSON`, DEVICE one of gpu (refuse to run without one) and any. Speaks the protocol of contestant.ts.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { AppError } from '@headstart/contracts';
import type { EngineName } from '@headstart/engines';
import type { Case } from './cases.js';
import type { Message } from './contestant.js';
import { prepare, type Prepared } from './work.js';

/** Not a fault of the benchmark's: the engine is left out of the case. */
const CANNOT: readonly string[] = ['engine_unavailable', 'engine_cannot_train'];

/** This process's largest resident memory so far. Linux; elsewhere the same number from getrusage. */
function peakBytes(): number {
  try {
    const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1];
    return Number(kibibytes) * 1024;
  } catch {
    return process.resourceUsage().maxRSS * 1024;
  }
}

function say(message: Message): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

async function start(): Promise<Prepared | null> {
  const [engine, device, threads, benchCase] = process.argv.slice(2) as [EngineName, string, string, string];
  try {
    const settings = { threads: Number(threads), needsGpu: device === 'gpu' };
    return await prepare(engine, settings, JSON.parse(benchCase) as Case);
  } catch (error) {
    if (!(error instanceof AppError) || !CANNOT.includes(error.code)) throw error;
    say({ cannot: error.message });
    return null;
  }
}

const prepared = await start();
if (prepared) {
  say({ ready: prepared.description });
  for await (const command of createInterface({ input: process.stdin })) {
    if (command !== 'run') throw new Error(`The line was "${command}"; allowed is "run".`);
    const startedAt = performance.now();
    await prepared.run();
    say({ milliseconds: performance.now() - startedAt, peakBytes: peakBytes() });
  }
}
