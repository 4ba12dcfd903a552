import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** Threads for one of some processes that divide the physical cores evenly; at least one. */
export function shareOfCores(sharers: number): number {
  return Math.max(1, Math.floor(physicalCores() / sharers));
}

/** Physical cores this process may use: a second thread on a core adds nothing to arithmetic that fills its units. */
function physicalCores(): number {
  const cores = new Set(readCoreIds());
  return Math.min(cores.size || Infinity, availableParallelism());
}

/** `package:core` of every logical processor, on Linux; empty elsewhere. */
function readCoreIds(): string[] {
  let text: string;
  try {
    text = readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return [];
  }
  return text.split('\n\n').flatMap((processor) => {
    const socket = /^physical id\s*: (\d+)$/m.exec(processor)?.[1];
    const core = /^core id\s*: (\d+)$/m.exec(processor)?.[1];
    return socket === undefined || core === undefined ? [] : [`${socket}:${core}`];
  });
}
