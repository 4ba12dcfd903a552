import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** Not imported by name: the package is optional, and TypeScript must not need it either. */
export const PACKAGE = '@tensorflow/tfjs-node-gpu';

/** The versions that the op suite and the training tests have passed on: docs/tensorflow.md. */
export const TESTED = { from: [2, 12], to: [2, 21] } as const;

/** The TensorFlow that the addon was linked to; `scripts/link-tensorflow` writes it beside the addon. */
export interface TensorflowBuild {
  /** As the library says it itself, such as "2.20.0". */
  version: string;
  /** The Python package's folder; the addon finds its libraries there. */
  directory: string;
  /** CUDA and cuDNN that the library was built with; null for a build without CUDA. */
  cuda: string | null;
  cudnn: string | null;
  /** GPUs that it holds kernels for, such as "sm_80"; "compute_90" also runs on every later one, compiled at first use. */
  computeCapabilities: string[];
}

/** Where the package's files are; null where it is not installed. */
export function packageDirectory(): string | null {
  try {
    return dirname(createRequire(import.meta.url).resolve(`${PACKAGE}/package.json`));
  } catch {
    return null;
  }
}

/** The folder in which the package looks for its addon. */
export function addonDirectory(packageFolder: string): string {
  const { binary } = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8')) as {
    binary: { napi_versions: number[] };
  };
  return join(packageFolder, 'lib', `napi-v${Math.max(...binary.napi_versions)}`);
}

export function buildFile(addonFolder: string): string {
  return join(addonFolder, 'tensorflow.json');
}

/** What the package's addon is linked to; null where it is not. */
export function readBuild(): TensorflowBuild | null {
  const packageFolder = packageDirectory();
  if (packageFolder === null) return null;
  const file = buildFile(addonDirectory(packageFolder));
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as TensorflowBuild) : null;
}
