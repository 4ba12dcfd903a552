import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { spawnOwned } from '../../scripts/src/processes.js';

/** Listens on any free port and says which. Whoever is connected sees its end. */
const LISTENER =
  "require('net').createServer().listen(0, '127.0.0.1', function () { console.log(this.address().port) })";
/** Ignores SIGTERM. */
const STUBBORN = `process.on('SIGTERM', () => {}); ${LISTENER}`;

async function firstLine(stream: NodeJS.ReadableStream): Promise<string> {
  const [line] = (await once(createInterface({ input: stream }), 'line')) as [string];
  return line;
}

test('a child dies with the process that owns it, even when that is killed', async () => {
  const processes = new URL('../../scripts/dist/processes.js', import.meta.url).href;
  const script = `
    import { spawnOwned } from ${JSON.stringify(processes)};
    const child = await spawnOwned(process.execPath, ['-e', ${JSON.stringify(LISTENER)}]);
    child.stdout.pipe(process.stdout);`;
  const owner = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const socket = connect({ host: '127.0.0.1', port: Number(await firstLine(owner.stdout)) });
  await once(socket, 'connect');
  socket.on('error', () => undefined);
  // Not `once` of node:events, which a reset connection's error would reject.
  const ended = new Promise((resolve) => socket.once('close', resolve));
  owner.kill('SIGKILL');
  await ended;
});

test('stop asks first, and ends by force what does not listen', async () => {
  const polite = await spawnOwned(process.execPath, ['-e', LISTENER]);
  await firstLine(polite.stdout);
  await polite.stop(60_000);
  expect(await polite.ended).toBe('was ended by SIGTERM');

  const stubborn = await spawnOwned(process.execPath, ['-e', STUBBORN]);
  await firstLine(stubborn.stdout);
  await stubborn.stop(50);
  expect(await stubborn.ended).toBe('was ended by SIGKILL');
});

test('a program that is not there is an error that names it', async () => {
  await expect(spawnOwned('headstart-no-such-program', [])).rejects.toThrow(
    'headstart-no-such-program could not be started',
  );
});
