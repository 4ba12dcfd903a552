import { mkdir } from 'node:fs/promises';
import { cpus } from 'node:os';
import util from 'node:util';
import { AppError, type Runtime } from '@headstart/contracts';
import * as tf from '@tensorflow/tfjs-core';
import type { Engine, EngineSettings } from '../engine.js';
import { shareOfCores } from '../threads.js';
import { PACKAGE, readBuild } from './build.js';
import { setNativeEnvironment } from './config.js';
import { describeGpu } from './gpu.js';
import { adaptKernels } from './kernels.js';

interface TfjsNode {
  backend(): { isUsingGpuDevice: boolean; binding: { TF_Version: string } };
}

/** Native TensorFlow through tfjs-node-gpu: CUDA where it finds a device, else TensorFlow's CPU kernels. */
export const tensorflow: Engine = {
  name: 'tensorflow',
  trainsConvolutions: true,
  start: (settings) => startTensorflow(settings),
};

async function startTensorflow(settings: EngineSettings = {}): Promise<Pick<Runtime, 'device' | 'versions'>> {
  const build = readBuild();
  if (!build) {
    throw new AppError(
      'engine_unavailable',
      `${PACKAGE} is not linked to a TensorFlow. Run scripts/link-tensorflow, as docs/tensorflow.md says.`,
    );
  }
  // Without a look at the library itself, which takes seconds and memory that stay taken.
  if (settings.needsGpu && build.cuda === null)
    throw withoutGpu(`it is TensorFlow ${build.version} for the CPU`);
  const threads = settings.threads ?? shareOfCores(settings.sharers ?? 1);
  // CUDA keeps nothing where there is no folder.
  if (build.cuda !== null && settings.kernelCacheDir !== undefined)
    await mkdir(settings.kernelCacheDir, { recursive: true });
  const gpu = setNativeEnvironment({ threads, kernelCacheDir: settings.kernelCacheDir });
  provideRemovedUtilities();
  const { default: tfjsNode } = (await import(PACKAGE)) as { default: TfjsNode };
  if (!(await tf.setBackend('tensorflow')))
    throw new AppError('engine_unavailable', `${PACKAGE} registered no TensorFlow backend.`);
  const { isUsingGpuDevice, binding } = tfjsNode.backend();
  if (settings.needsGpu && !isUsingGpuDevice) throw withoutGpu('it finds no CUDA device');
  adaptKernels();
  const versions = { tfjs: tf.version_core, tensorflow: binding.TF_Version };
  if (!isUsingGpuDevice) {
    return {
      device: cpus()[0]?.model.trim() ?? 'cpu',
      versions: { ...versions, threads: String(threads) },
    };
  }
  const { device, driver } = describeGpu(gpu);
  return {
    device,
    versions: {
      ...versions,
      ...(build.cuda !== null && { cuda: build.cuda }),
      ...(build.cudnn !== null && { cudnn: build.cudnn }),
      ...(driver !== undefined && { driver }),
    },
  };
}

function withoutGpu(reason: string): AppError {
  return new AppError('engine_unavailable', `Its TensorFlow computes on no GPU here: ${reason}.`);
}

/** tfjs-node 4.22 calls two functions of Node's that Node 22 warns of and Node 23 no longer has. */
function provideRemovedUtilities(): void {
  Object.assign(util, {
    isNullOrUndefined: (value: unknown) => value === null || value === undefined,
    isArray: Array.isArray,
  });
}
