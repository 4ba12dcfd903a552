import { cpus } from 'node:os';
import { AppError } from '@headstart/contracts';
import * as tf from '@tensorflow/tfjs-core';
import type { Engine } from '../engine.js';

/** tfjs's WebAssembly backend: about a second per 224-pixel picture through all of VGG19. It has no Conv2DBackpropFilter. */
export const wasm: Engine = {
  name: 'wasm',
  trainsConvolutions: false,
  async start() {
    const { version_wasm } = await import('@tensorflow/tfjs-backend-wasm');
    if (!(await tf.setBackend('wasm')))
      throw new AppError('engine_unavailable', 'The WebAssembly backend did not start.');
    return {
      device: cpus()[0]?.model.trim() ?? 'cpu',
      versions: { tfjs: tf.version_core, wasm: version_wasm },
    };
  },
};
