import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { EngineName } from '@headstart/engines';
import { ALLOCATOR_ENVIRONMENT } from '@headstart/engines/allocator';
import type { Case } from './cases.js';

const REPO_ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** A line of JSON from a contestant's process. It answers every line `run` with one run; end of input ends it. */
export type Message =
  | { ready: string }
  | { cannot: string }
  | { milliseconds: number; /** Largest resident memory so far. */ peakBytes: number };

/** Something that can do the cases: an engine of ours, or PyTorch. */
export interface Contestant {
  name: string;
  command: string;
  args: string[];
  /** Of its process, besides this one's. */
  env?: Record<string, string>;
}

/** A contestant's process, ready for one case. */
export interface Racer {
  contestant: Contestant;
  /** Versions and settings. */
  description: string;
  run(): Promise<{ milliseconds: number; peakBytes: number }>;
  /** Resolves when the process is gone. */
  end(): Promise<void>;
}

/** @param needsGpu leaves the engine out where it finds no GPU. */
export function engineContestant(engine: EngineName, needsGpu: boolean): Contestant {
  const script = fileURLToPath(new URL('engine-process.js', import.meta.url));
  return {
    name: engine,
    command: process.execPath,
    args: [script, engine, needsGpu ? 'gpu' : 'any'],
    env: ALLOCATOR_ENVIRONMENT,
  };
}

export type PyTorchDevice = 'cpu' | 'cuda';

export function pytorchContestants(python: string, device: PyTorchDevice): Contestant[] {
  const script = fileURLToPath(new URL('../pytorch.py', import.meta.url));
  return [
    { name: 'PyTorch', command: python, args: [script, device, 'contiguous_format'] },
    { name: 'PyTorch, channels last', command: python, args: [script, device, 'channels_last'] },
  ];
}

const FINDS_DEVICE: Record<PyTorchDevice, string> = {
  cpu: 'import torch',
  cuda: 'import torch; torch.empty(1, device="cuda")',
};

/** The first of these Pythons that has a PyTorch for the device, or null. */
export async function findPyTorch(
  candidates: readonly string[],
  device: PyTorchDevice,
): Promise<string | null> {
  for (const python of candidates) {
    const child = spawn(python, ['-c', FINDS_DEVICE[device]], { stdio: 'ignore' });
    const code = await new Promise((resolve) => {
      child.once('error', () => resolve(null));
      child.once('exit', resolve);
    });
    if (code === 0) return python;
  }
  return null;
}

/** Starts a contestant on a case. @returns why it cannot do it, or the racer. @throws Error if its process fails. */
export async function start(
  contestant: Contestant,
  benchCase: Case,
  threads: number,
): Promise<Racer | string> {
  const { name, command, args, env } = contestant;
  const child = spawn(command, [...args, String(threads), JSON.stringify(benchCase)], {
    env: { ...env, ...process.env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  // Writing to a process that has died: its end of output says so.
  child.stdin.on('error', () => undefined);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<Message> => {
    const line = await lines.next();
    if (line.done)
      throw new Error(`${name} ended in the middle of ${benchCase.name}; see its message above.`);
    return JSON.parse(line.value) as Message;
  };
  const end = async () => {
    child.stdin.end();
    await exited;
  };
  const first = await next();
  if ('cannot' in first) {
    await end();
    // Nobody else's folders are the same.
    return first.cannot.replaceAll(REPO_ROOT, '');
  }
  return {
    contestant,
    description: 'ready' in first ? first.ready : '',
    async run() {
      child.stdin.write('run\n');
      const message = await next();
      if (!('milliseconds' in message))
        throw new Error(`${name} answered ${JSON.stringify(message)} to a run.`);
      return message;
    },
    end,
  };
}
