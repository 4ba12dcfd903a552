/**
 * scripts/link-tensorflow [DIRECTORY]
 *
 * Builds the addon of tfjs-node-gpu against an installed TensorFlow, whose folder is DIRECTORY or found by python3. The
 * library that the package itself would download is TensorFlow 2.9.1 with CUDA 11.2, which has no kernels for today's GPUs.
 */
import { writeFileSync } from 'node:fs';
import {
  addonDirectory,
  buildFile,
  PACKAGE,
  packageDirectory,
  TESTED,
  type TensorflowBuild,
} from '../build.js';
import { ADDON, compileAddon } from './compile.js';
import { findTensorflow, readBuildInfo } from './find.js';

function link(given?: string): void {
  const packageFolder = packageDirectory();
  if (packageFolder === null) throw new Error(`${PACKAGE} is not installed. Run "npm ci" first.`);
  const addonFolder = addonDirectory(packageFolder);
  const directory = findTensorflow(given);
  say(`Compiling the addon of tfjs-node-gpu against ${directory} ...`);
  const version = compileAddon(packageFolder, addonFolder, directory);
  const build: TensorflowBuild = { version, directory, ...readBuildInfo(directory) };
  writeFileSync(buildFile(addonFolder), `${JSON.stringify(build, null, 2)}\n`);
  say(`Linked ${addonFolder}/${ADDON} to TensorFlow ${version}, ${kindOf(build)}.`);
  if (!isTested(version))
    say(
      `It is not among the versions that were tested, ${TESTED.from.join('.')} to ${TESTED.to.join('.')}: run "npm run test:ops -- tensorflow".`,
    );
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function kindOf({ cuda, cudnn, computeCapabilities }: TensorflowBuild): string {
  return cuda ? `CUDA ${cuda}, cuDNN ${cudnn}, ${computeCapabilities.join(' ')}` : 'without CUDA';
}

function isTested(version: string): boolean {
  const [major, minor] = version.split('.').map(Number) as [number, number];
  return major === TESTED.to[0] && minor >= TESTED.from[1] && minor <= TESTED.to[1];
}

const [directory, ...rest] = process.argv.slice(2);
try {
  if (rest.length > 0 || directory?.startsWith('-'))
    throw new Error('Usage: scripts/link-tensorflow [DIRECTORY]');
  link(directory);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
