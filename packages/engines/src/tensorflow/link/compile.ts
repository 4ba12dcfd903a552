import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { LIBRARIES } from './find.js';

export const ADDON = 'tfjs_binding.node';
/** Named by the package's binding.gyp, with the options below; node-gyp itself would download Node's headers. */
const SOURCES = ['tfjs_backend.cc', 'tfjs_binding.cc'];

/**
 * Compiles the addon from the package's sources, tries it, and only then puts it in its place.
 *
 * It finds TensorFlow's libraries by their real folder and not by links to them: they look for CUDA's beside themselves.
 * @returns the version that the library says it is. @throws Error with the compiler's or the loader's own words.
 */
export function compileAddon(packageFolder: string, addonFolder: string, tensorflow: string): string {
  const { include_dir: nodeHeaders } = createRequire(import.meta.url)('node-api-headers') as {
    include_dir: string;
  };
  mkdirSync(addonFolder, { recursive: true });
  const draft = join(addonFolder, `.${process.pid}-${ADDON}`);
  try {
    run('the compiler', 'g++', [
      ...['-std=c++17', '-O2', '-shared', '-fPIC'],
      `-DNAPI_VERSION=${/\d+$/.exec(basename(addonFolder))![0]}`,
      ...[nodeHeaders, join(tensorflow, 'include')].map((folder) => `-I${folder}`),
      ...SOURCES.map((file) => join(packageFolder, 'binding', file)),
      ...['-o', draft],
      `-L${tensorflow}`,
      ...LIBRARIES.map((library) => `-l:${library}`),
      `-Wl,-rpath,${tensorflow}`,
    ]);
    const version = tryAddon(draft);
    renameSync(draft, join(addonFolder, ADDON));
    return version;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Loads an addon in a process of its own, which a library that does not fit may take with it. */
function tryAddon(file: string): string {
  const script = 'process.stdout.write(require(process.argv[1]).TF_Version)';
  return run('the addon', process.execPath, ['-e', script, file]);
}

function run(what: string, command: string, args: string[]): string {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    throw new Error(`With this TensorFlow ${what} failed:\n${stderr?.trim() || message}`, { cause: error });
  }
}
