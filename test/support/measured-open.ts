import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { DatasetReport, JobError } from '@headstart/contracts';
import type { DatasetLimits } from '@headstart/dataset';
import type { OpenProcessAnswer, OpenProcessOptions } from './open-dataset-process.js';

const PROCESS = fileURLToPath(new URL('./open-dataset-process.ts', import.meta.url));
const SAMPLE_INTERVAL_MS = 5;

export interface MeasuredOpen {
  report: DatasetReport | null;
  error: JobError | null;
  seconds: number;
  /** Largest resident memory of the process and its decoders together, in bytes; null where there is no /proc. */
  peakMemoryBytes: number | null;
  /** Largest size of the job's folder. */
  peakDiskBytes: number;
  /** Files that were made or changed below `root`, but outside the job's folder. */
  writtenOutside: string[];
}

/**
 * Opens the data set at `data` (a path below `root`) as a job does, in a process of its own with a folder of its own
 * below `root`, and watches what that costs.
 */
export async function openMeasured(root: string, data: string, limits: DatasetLimits): Promise<MeasuredOpen> {
  const workDir = join(root, 'jobs', 'one', 'attempt-1');
  const uri = pathToFileURL(join(root, data)).href;
  const options: OpenProcessOptions = {
    uri: statSync(join(root, data)).isDirectory() ? `${uri}/` : uri,
    fileRoot: root,
    workDir,
    limits,
  };
  const before = filesOutside(root, workDir);
  const startedAt = performance.now();
  const child = fork(PROCESS, [JSON.stringify(options)], { execArgv: [], cwd: root });
  let peakMemoryBytes = 0;
  let peakDiskBytes = 0;
  const sample = () => {
    peakMemoryBytes = Math.max(peakMemoryBytes, residentBytesOfTree(child.pid!));
    peakDiskBytes = Math.max(peakDiskBytes, folderBytes(workDir));
  };
  let timer: NodeJS.Timeout;
  const keepSampling = () => {
    const startedMs = performance.now();
    sample();
    // A folder of many files takes its time: most of the core is left to what is measured.
    timer = setTimeout(keepSampling, SAMPLE_INTERVAL_MS + 4 * (performance.now() - startedMs));
  };
  keepSampling();
  const messages: OpenProcessAnswer[] = [];
  child.on('message', (message) => {
    // It waits for this process to have heard it, so it is there still.
    sample();
    messages.push(message as OpenProcessAnswer);
  });
  await once(child, 'exit');
  clearTimeout(timer!);
  sample();
  const [answer] = messages;
  if (!answer) throw new Error('The process that opens the data set ended without an answer.');
  const after = filesOutside(root, workDir);
  return {
    report: 'report' in answer ? answer.report : null,
    error: 'error' in answer ? answer.error : null,
    seconds: (performance.now() - startedAt) / 1000,
    peakMemoryBytes: existsSync('/proc/self/status') ? peakMemoryBytes : null,
    peakDiskBytes,
    writtenOutside: [...after].filter(([path, state]) => before.get(path) !== state).map(([path]) => path),
  };
}

/** Every file and folder below `root` but those below `except`, with what changes when it is written. */
function filesOutside(root: string, except: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (path === except || path.startsWith(`${except}/`) || except.startsWith(path)) continue;
    const { size, mtimeMs } = statSync(path);
    found.set(path, entry.isDirectory() ? 'folder' : `${size} ${mtimeMs}`);
  }
  return found;
}

function folderBytes(folder: string): number {
  if (!existsSync(folder)) return 0;
  let bytes = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const stats = statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false });
    if (stats?.isFile()) bytes += stats.size;
  }
  return bytes;
}

/** Of a process and all below it; 0 for one that is gone. */
function residentBytesOfTree(pid: number): number {
  try {
    const resident = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean),
    );
    const below = children.reduce((sum, child) => sum + residentBytesOfTree(Number(child)), 0);
    return Number(resident ?? 0) * 1024 + below;
  } catch {
    return 0;
  }
}
