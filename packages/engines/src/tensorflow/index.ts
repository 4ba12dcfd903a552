import { AppError } from '@headstart/contracts';
import * as tf from '@tensorflow/tfjs-core';
import type { Engine } from '../engine.js';

/** Not imported by name: the package is optional, and TypeScript must not need it either. */
const PACKAGE = '@tensorflow/tfjs-node-gpu';

interface TfjsNode {
  version: Record<string, string>;
  backend(): { isUsingGpuDevice?: boolean; isGPUPackage?: boolean; binding?: { TF_Version?: string } };
}

/** Native TensorFlow through tfjs-node-gpu: CUDA where it finds a device, else TensorFlow's CPU kernels. */
export const tensorflow: Engine = {
  name: 'tensorflow',
  trainsConvolutions: true,
  async start() {
    const imported = (await import(PACKAGE)) as { default: TfjsNode };
    if (!(await tf.setBackend('tensorflow')))
      throw new AppError('engine_unavailable', 'tfjs-node-gpu registered no TensorFlow backend.');
    const backend = imported.default.backend();
    return {
      device: backend.isUsingGpuDevice ? 'cuda' : 'cpu',
      versions: { tfjs: tf.version_core, tensorflow: backend.binding?.TF_Version ?? 'unknown' },
    };
  },
};
