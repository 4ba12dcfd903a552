import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { TensorflowBuild } from '../build.js';

export const LIBRARIES = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'] as const;
const HEADER = join('include', 'tensorflow', 'c', 'eager', 'c_api.h');
const BUILD_INFO = join('python', 'platform', 'build_info.py');

/** Looks the package up without importing it, which would take seconds and need all that it depends on. */
const FIND_BY_PYTHON =
  "import importlib.util as u; s = u.find_spec('tensorflow'); print(s.submodule_search_locations[0] if s else '')";

/**
 * The folder of an installed TensorFlow Python package, checked to hold what an addon is linked to.
 * @param given a folder named by the caller; without one the package that `python3` would import.
 */
export function findTensorflow(given?: string): string {
  const directory = given ?? findByPython();
  const missing = [...LIBRARIES, HEADER].filter((file) => !existsSync(join(directory, file)));
  if (missing.length > 0) {
    throw new Error(
      `${directory} has no ${missing.join(', no ')}. Name the folder "tensorflow" of an installed Python package tensorflow or tensorflow-cpu for Linux, 2.12 or newer: older ones come without the C++ library.`,
    );
  }
  return realpathSync(directory);
}

function findByPython(): string {
  let found = '';
  try {
    found = execFileSync('python3', ['-c', FIND_BY_PYTHON], { encoding: 'utf8' }).trim();
  } catch {
    // Said below: no Python and no TensorFlow come to the same.
  }
  if (found) return found;
  throw new Error(
    'python3 finds no TensorFlow. Install one ("pip install tensorflow-cpu", or "tensorflow[and-cuda]" for CUDA) or name its folder: scripts/link-tensorflow DIRECTORY.',
  );
}

/** What the package says of its own build, from the Python dictionary in which TensorFlow's build leaves it. */
export function readBuildInfo(
  directory: string,
): Pick<TensorflowBuild, 'cuda' | 'cudnn' | 'computeCapabilities'> {
  const file = join(directory, BUILD_INFO);
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const stringOf = (key: string) => new RegExp(`\\('${key}', '([^']*)'\\)`).exec(text)?.[1] ?? null;
  const capabilities = /\('cuda_compute_capabilities', \[([^\]]*)\]\)/.exec(text)?.[1] ?? '';
  return {
    cuda: stringOf('cuda_version'),
    cudnn: stringOf('cudnn_version'),
    computeCapabilities: [...capabilities.matchAll(/'([^']+)'/g)].map(([, capability]) => capability!),
  };
}
