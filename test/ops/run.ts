/**
 * Runs the test-suite that TensorFlow.js's own backends have to pass (tfjs-core's, some 4200 tests) on an engine:
 *
 *   npm run test:ops -- ENGINE [--grep TEXT] [--SETTING VALUE ...]
 *
 * Settings are those of the engine's start, such as `--nchwc off`. `gpu` instead of an engine runs it on every engine that finds a
 * GPU, and says why others are left out. Ends with code 1 where a test fails.
 *
 * Suite and engine are bundled into one file, so that there is one tfjs-core: the suite reaches into its modules, and
 * Node would give the engine another copy of it.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { rolldown } from 'rolldown';
import type { EngineSettings, runSuite } from './suite.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const GPU_ENGINES = ['tensorflow', 'webgpu'];

const BUNDLED = /^(@tensorflow\/(?!tfjs-backend-wasm)|@headstart\/|seedrandom|virtual:)/;

/** Bundles test/ops/suite.ts with the engine's folder. @returns the bundle's path. */
async function bundle(engine: string): Promise<string> {
  const folder = join(ROOT, 'packages', 'engines', 'dist', engine, 'index.js');
  if (!existsSync(folder))
    throw new Error(
      `There is no engine "${engine}" in ${folder}. Name a folder of packages/engines/src, and build it.`,
    );
  const build = await rolldown({
    input: fileURLToPath(new URL('suite.ts', import.meta.url)),
    platform: 'node',
    // tfjs's packages: the modules that the suite imports one by one are those of `module`, not of `main`.
    resolve: { mainFields: ['module', 'main'], extensionAlias: { '.js': ['.ts', '.js'] } },
    // seedrandom's functions hang on its default export, which tfjs imports as a bundler gives it.
    // The wasm backend looks for its .wasm beside itself; it finds tfjs's one engine, which is global, from there too.
    external: (id) => /^[@a-z]/.test(id) && !BUNDLED.test(id),
    // The packages declare most of the suite free of side effects: it would be dropped.
    treeshake: false,
    onLog: (level, log, handle) => {
      // tfjs's CommonJS remains.
      if (level !== 'warn') handle(level, log);
    },
    plugins: [{ name: 'engine', resolveId: (id) => (id === 'virtual:engine' ? folder : null) }],
  });
  const file = join(ROOT, '.cache', 'ops', `${engine}.mjs`);
  await mkdir(join(ROOT, '.cache', 'ops'), { recursive: true });
  await build.write({ file, format: 'esm', codeSplitting: false });
  await build.close();
  return file;
}

interface Arguments {
  engine: string;
  grep: string;
  settings: EngineSettings;
}

function parseArguments([engine, ...rest]: string[]): Arguments {
  const usage = 'Usage: npm run test:ops -- ENGINE [--grep TEXT] [--SETTING VALUE ...]';
  if (!engine || rest.length % 2 !== 0) throw new Error(usage);
  const settings: EngineSettings = {};
  let grep = '';
  for (let i = 0; i < rest.length; i += 2) {
    const [flag, value] = [rest[i]!, rest[i + 1]!];
    if (!flag.startsWith('--')) throw new Error(`Not a setting: "${flag}". ${usage}`);
    if (flag === '--grep') grep = value;
    else settings[flag.slice(2)] = /^\d+$/.test(value) ? Number(value) : value;
  }
  return { engine, grep, settings };
}

/** Each engine in a process of its own. @returns whether every test passed. */
function runOnGpus(rest: string[]): boolean {
  const codes = GPU_ENGINES.map((name) => {
    const args = [...process.execArgv, fileURLToPath(import.meta.url), name, '--needsGpu', '1', ...rest];
    return spawnSync(process.execPath, args, { stdio: 'inherit' }).status;
  });
  return codes.every((code) => code === 0);
}

const [first, ...rest] = process.argv.slice(2);
if (first === 'gpu') process.exit(runOnGpus(rest) ? 0 : 1);

const { engine, grep, settings } = parseArguments(process.argv.slice(2));
const suite = (await import(pathToFileURL(await bundle(engine)).href)) as { runSuite: typeof runSuite };
const passed = await suite.runSuite(engine, settings, grep);
// Some of the suite's tests leave timers behind.
process.exit(passed ? 0 : 1);
