import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import * as tf from '@tensorflow/tfjs-core';
import type { Engine, EngineSettings } from '../engine.js';
import type { OnnxBackend } from './backend.js';
import { compilePrefix } from './prefix.js';

export interface OnnxSettings extends EngineSettings {
  /** 'off' keeps to ONNX's own convolution. */
  nchwc?: 'auto' | 'off';
  /** 'off' lets ONNX Runtime copy every result. */
  zeroCopy?: 'auto' | 'off';
  /** Elements above which elementwise kernels run on ONNX Runtime; 0 forces every kernel there that can. */
  minimumSize?: number;
}

/** A session costs about 0.1 ms; JavaScript handles this many elements in that time. */
const MINIMUM_SIZE = 32_768;

/** Registers the backend "onnxruntime", makes it tfjs's current one and says how it runs. */
export async function startOnnxRuntime(
  settings: OnnxSettings = {},
): Promise<{ device: string; versions: Record<string, string> }> {
  await import('@tensorflow/tfjs-backend-cpu');
  const { OnnxBackend } = await import('./backend.js');
  const { registerKernels } = await import('./register.js');
  const { library } = await import('./runtime/binding.js');
  const { probe } = await import('./runtime/probe.js');
  const { shareOfCores } = await import('../threads.js');

  library(); // The probe would take its absence for a lack of abilities.
  const threads = settings.threads ?? shareOfCores(settings.sharers ?? 1);
  const abilities = probe({ nchwc: settings.nchwc ?? 'auto', zeroCopy: settings.zeroCopy ?? 'auto' });
  const minimumSize = settings.minimumSize ?? MINIMUM_SIZE;
  if (tf.findBackendFactory('onnxruntime')) tf.removeBackend('onnxruntime');
  registerKernels('onnxruntime');
  tf.registerBackend('onnxruntime', () => new OnnxBackend({ ...abilities, threads, minimumSize }), 4);
  if (!(await tf.setBackend('onnxruntime'))) throw new Error('tfjs did not accept the backend.');
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
  const { blockSize, zeroCopy } = abilities;
  return {
    device: cpus()[0]?.model.trim() ?? 'cpu',
    versions: {
      tfjs: tf.version_core,
      onnxruntime: version,
      convolution: blockSize > 0 ? `NCHWc${blockSize}` : 'NCHW',
      outputs: zeroCopy ? 'zero-copy' : 'copied',
      threads: String(threads),
    },
  };
}

/** Kernels on ONNX Runtime's CPU library, from npm alone; see `OnnxBackend`. */
export const onnxruntime: Engine = {
  name: 'onnxruntime',
  trainsConvolutions: true,
  start: (settings) => startOnnxRuntime(settings),
  compilePrefix: (prefix) => compilePrefix(prefix, (tf.backend() as OnnxBackend).settings),
};
