import { cpus } from 'node:os';
import { AppError } from '@headstart/contracts';
import * as tf from '@tensorflow/tfjs-core';
import type { Engine } from '../engine.js';

/** tfjs's backend in plain JavaScript: it trains everything, at minutes per 224-pixel picture. */
export const cpu: Engine = {
  name: 'cpu',
  trainsConvolutions: true,
  async start() {
    const { version_cpu } = await import('@tensorflow/tfjs-backend-cpu');
    if (!(await tf.setBackend('cpu')))
      throw new AppError('engine_unavailable', 'The JavaScript backend did not start.');
    return {
      device: cpus()[0]?.model.trim() ?? 'cpu',
      versions: { tfjs: tf.version_core, cpu: version_cpu },
    };
  },
};
