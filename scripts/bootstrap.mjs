// Runs a command of this project with everything it needs in place: installed packages, built code, and the project's own
// Node first on PATH. Plain JavaScript without packages, because it runs before they are there, on Node 20 or newer.
//
//   node scripts/bootstrap.mjs COMMAND [ARGUMENT...]
import { spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const binaries = join(root, 'node_modules', '.bin');

function modifiedMs(file) {
  return statSync(join(root, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** Runs a program to its end, hands our signals on to it, and ends this process with its code if that is not 0. */
async function run(command, args) {
  const env = { ...process.env, PATH: `${binaries}${delimiter}${process.env.PATH ?? ''}` };
  const child = spawn(command, args, { cwd: root, env, stdio: 'inherit' });
  const forward = (signal) => {
    // A terminal sends Ctrl-C to the whole group: the child has it already.
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, forward);
  const code = await new Promise((resolve) => {
    child.on('error', (error) => {
      console.error(`${command} could not be started: ${error.message}`);
      resolve(127);
    });
    child.on('exit', (exitCode, signal) => resolve(exitCode ?? 128 + constants.signals[signal]));
  });
  for (const signal of signals) process.off(signal, forward);
  if (code !== 0) process.exit(code);
}

const [command, ...args] = process.argv.slice(2);
if (!command) {
  console.error('Usage: node scripts/bootstrap.mjs COMMAND [ARGUMENT...]');
  process.exit(2);
}
// npm writes this file at the end of an install: where it is missing or old, the install is.
if (modifiedMs('node_modules/.package-lock.json') < modifiedMs('package-lock.json')) {
  console.log('Installing packages (npm ci) ...');
  // Warnings alone: that some tools want a newer Node than the one that installs is no news, they run on the project's own.
  await run('npm', ['ci', '--include=dev', '--loglevel=error']);
}
await run('tsc', ['-b']);
await run(command, args);
