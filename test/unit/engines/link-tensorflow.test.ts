import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  findTensorflow,
  LIBRARIES,
  readBuildInfo,
} from '../../../packages/engines/src/tensorflow/link/find.js';

/** As TensorFlow 2.20 has it. */
const CUDA_BUILD = `"""Auto-generated module providing information about the build."""
import collections

build_info = collections.OrderedDict([('cpu_compiler', 'clang 18'), ('cuda_compute_capabilities', ['sm_60', 'sm_89', 'compute_90']), ('cuda_version', '12.5.1'), ('cudnn_version', '9'), ('is_cuda_build', True)])
`;
const CPU_BUILD = "build_info = collections.OrderedDict([('is_cuda_build', False)])\n";

const script = join(import.meta.dirname, '../../../packages/engines/dist/tensorflow/link/main.js');
let folder: string;

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'headstart-link-')));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function write(path: string, content = ''): Promise<void> {
  const file = join(folder, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, content);
}

/** Runs the command. @returns what it printed as an error. */
async function failure(args: string[], env: Record<string, string> = {}): Promise<string> {
  const run = promisify(execFile)(process.execPath, [script, ...args], { env: { ...process.env, ...env } });
  const error = await run.then(
    () => null,
    (reason: unknown) => reason as { code: number; stderr: string },
  );
  expect(error?.code).toBe(1);
  return error!.stderr;
}

describe('the folder of TensorFlow', () => {
  it('is taken with libraries and headers', async () => {
    for (const library of LIBRARIES) await write(library);
    await write('include/tensorflow/c/eager/c_api.h');
    expect(findTensorflow(folder)).toBe(folder);
  });

  it('is refused without the C++ library, with what is missing', async () => {
    await write('libtensorflow_framework.so.2');
    await write('include/tensorflow/c/eager/c_api.h');
    expect(() => findTensorflow(folder)).toThrow(`${folder} has no libtensorflow_cc.so.2. Name the folder`);
  });

  it('says what the library was built with', async () => {
    expect(readBuildInfo(folder)).toEqual({ cuda: null, cudnn: null, computeCapabilities: [] });
    await write('python/platform/build_info.py', CPU_BUILD);
    expect(readBuildInfo(folder)).toEqual({ cuda: null, cudnn: null, computeCapabilities: [] });
    await write('python/platform/build_info.py', CUDA_BUILD);
    expect(readBuildInfo(folder)).toEqual({
      cuda: '12.5.1',
      cudnn: '9',
      computeCapabilities: ['sm_60', 'sm_89', 'compute_90'],
    });
  });
});

describe('link-tensorflow', () => {
  it('says how it is used', async () => {
    expect(await failure(['--help'])).toBe('Usage: scripts/link-tensorflow [DIRECTORY]\n');
    expect(await failure([folder, folder])).toBe('Usage: scripts/link-tensorflow [DIRECTORY]\n');
  });

  it('says what to install where Python has no TensorFlow, and where there is no Python', async () => {
    expect(await failure([], { PATH: folder })).toContain('python3 finds no TensorFlow. Install one');
  });
});
