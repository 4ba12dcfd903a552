import { newJobId } from '@headstart/queue';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, inject, it } from 'vitest';
import { findExecutable } from '../../scripts/src/processes.js';
import { startApi } from '../support/services.js';

const MAIN = fileURLToPath(new URL('../../services/api/dist/main.js', import.meta.url));

let child: ChildProcess | undefined;
afterEach(() => {
  child?.kill('SIGKILL');
});

function start(env: Record<string, string>): ChildProcess {
  child = spawn(process.execPath, [MAIN], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  return child;
}

/** The first log line with that message. */
async function logged(process: ChildProcess, msg: string): Promise<Record<string, unknown>> {
  if (!process.stdout) throw new Error('no stdout');
  for await (const line of createInterface({ input: process.stdout })) {
    const entry = JSON.parse(line) as Record<string, unknown>;
    if (entry['msg'] === msg) return entry;
  }
  throw new Error(`the API ended without "${msg}"`);
}

describe('the API process', () => {
  it.each(['redis', 'no Redis'])('listens with %s, and closes in order at SIGTERM', async (kind) => {
    const api = start({
      REDIS_URL: kind === 'redis' ? inject('redisUrl') : 'redis://127.0.0.1:1',
      QUEUE_PREFIX: `test-${newJobId()}`,
      OUTPUT_URI: 'file:///tmp/output/',
      API_PORT: '0',
    });
    const { address } = await logged(api, 'listening');
    expect((await fetch(`${String(address)}/healthz`)).status).toBe(200);
    expect((await fetch(`${String(address)}/readyz`)).status).toBe(kind === 'redis' ? 200 : 503);
    api.kill('SIGTERM');
    expect(await once(api, 'exit')).toEqual([0, null]);
  });

  it('ends at once at a second SIGTERM, whatever it is still answering', async () => {
    const api = await startApi({
      REDIS_URL: inject('redisUrl'),
      QUEUE_PREFIX: `test-${newJobId()}`,
      OUTPUT_URI: 'file:///tmp/output/',
    });
    const { hostname, port } = new URL(api.url);
    const socket = connect(Number(port), hostname);
    socket.on('error', () => undefined);
    socket.write(
      'POST /jobs HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{',
    );
    await api.waitForLog(({ msg }) => msg === 'incoming request');
    api.signal('SIGTERM');
    await api.waitForLog(({ msg }) => msg === 'closing');
    api.signal('SIGTERM');
    expect(await api.ended).toEqual({ code: 1, signal: null });
    expect(api.logs.some(({ msg }) => msg === 'second SIGTERM, exiting')).toBe(true);
  });

  it('logs for people where stdout is a terminal', async ({ skip }) => {
    const script = await findExecutable(['script']);
    if (script === null) return skip('needs `script`, of util-linux, for a terminal of its own');
    child = spawn(
      script,
      ['--quiet', '--flush', '--command', `'${process.execPath}' '${MAIN}'`, '/dev/null'],
      {
        env: {
          ...process.env,
          OUTPUT_URI: 'file:///tmp/output/',
          REDIS_URL: 'redis://127.0.0.1:1',
          API_PORT: '0',
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    let text = '';
    if (!child.stdout) throw new Error('no stdout');
    for await (const bytes of child.stdout as AsyncIterable<Buffer>) {
      text += bytes.toString();
      if (text.includes('listening')) break;
    }
    expect(text).toMatch(/INFO.*listening/);
    expect(text).not.toContain('{"level"');
  });

  it('names every variable that is wrong, and ends', async () => {
    const api = start({ API_PORT: 'eighty', LOG_LEVEL: 'loud', WEBHOOK_SECRET: 'secret' });
    let text = '';
    api.stderr?.on('data', (bytes: Buffer) => (text += bytes.toString()));
    expect(await once(api, 'close')).toEqual([1, null]);
    for (const name of ['API_PORT', 'LOG_LEVEL', 'WEBHOOK_SECRET', 'OUTPUT_URI'])
      expect(text).toContain(name);
    expect(text).not.toContain('    at ');
  });
});
