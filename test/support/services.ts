import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { resolve } from 'node:path';
import { EventEmitter, on } from 'node:events';

export interface LogLine {
  level: number;
  msg: string;
  [field: string]: unknown;
}

export interface Service {
  pid: number;
  /** Every line that the service has logged so far; what is no JSON has level 0. */
  logs: LogLine[];
  /** Resolves with the first line, past or to come, that `matches`. @throws Error with the log at the deadline. */
  waitForLog(matches: (line: LogLine) => boolean, timeoutMs?: number): Promise<LogLine>;
  /** Sends a signal to the service's own process, not to its children. */
  signal(signal: NodeJS.Signals): void;
  /** Sends a signal to the service and its children at once. */
  signalAll(signal: NodeJS.Signals): void;
  /** Resolves when the service's own process has ended. */
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

export interface ApiService extends Service {
  url: string;
}

const REPOSITORY = resolve(import.meta.dirname, '../..');
const START_WITHIN_MS = 30_000;
/** Of all that was started here; each leads a process group. */
const groups = new Set<number>();
process.on('exit', killServices);

/** Starts the API on any free port and waits until it listens. */
export async function startApi(env: Record<string, string>): Promise<ApiService> {
  const service = startService('services/api/dist/main.js', { API_PORT: '0', ...env });
  const line = await service.waitForLog(({ msg }) => msg === 'listening', START_WITHIN_MS);
  return { ...service, url: String(line['address']) };
}

/** Starts a worker and waits until it takes jobs. */
export async function startWorker(env: Record<string, string>): Promise<Service> {
  const service = startService('services/worker/dist/main.js', env);
  await service.waitForLog(({ msg }) => msg === 'ready', START_WITHIN_MS);
  return service;
}

/** Ends everything started here, children included, at once. Call it behind the tests. */
export function killServices(): void {
  for (const pid of groups) {
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
  groups.clear();
}

function startService(script: string, env: Record<string, string>): Service {
  const child = spawn(process.execPath, [resolve(REPOSITORY, script)], {
    env: { ...process.env, LOG_LEVEL: 'debug', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${script} cannot be started. Build it first: npm run build`);
  groups.add(pid);

  const logs: LogLine[] = [];
  const emitter = new EventEmitter();
  const add = (text: string) => {
    const line = parseLine(text);
    logs.push(line);
    emitter.emit('line', line);
  };
  createInterface({ input: child.stdout }).on('line', add);
  createInterface({ input: child.stderr }).on('line', add);
  const ended = new Promise<Awaited<Service['ended']>>((settle) => {
    child.once('exit', (code, signal) => settle({ code, signal }));
  });
  void ended.then(({ code, signal }) => emitter.emit('ended', code, signal));

  return {
    pid,
    logs,
    ended,
    signal: (signal) => void child.kill(signal),
    signalAll: (signal) => void process.kill(-pid, signal),
    async waitForLog(matches, timeoutMs = 60_000) {
      const deadline = AbortSignal.timeout(timeoutMs);
      const failed = (why: string) =>
        new Error(`${script}: ${why}. Its log:\n${logs.map((line) => JSON.stringify(line)).join('\n')}`);
      const lines = on(emitter, 'line', { signal: deadline, close: ['ended'] });
      const past = logs.find(matches);
      if (past) return past;
      try {
        for await (const [line] of lines as AsyncIterable<[LogLine]>) if (matches(line)) return line;
      } catch (error) {
        if (!deadline.aborted) throw error;
        throw failed(`the line did not come within ${timeoutMs} ms`);
      }
      throw failed('it ended before the line came');
    },
  };
}

function parseLine(text: string): LogLine {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return { level: 0, msg: text };
  }
}
