import { type EngineName, type OnnxSettings, selectEngine } from '@headstart/engines';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { readBuild } from '../../packages/engines/src/tensorflow/build.js';

/** An engine and how it is started. */
export interface Configuration {
  label: string;
  /** tfjs's cpu backend is what the engines are compared with, and none of them. */
  engine: EngineName | 'cpu';
  settings: OnnxSettings;
  /** True where NaN and infinities need not be computed as the cpu backend does: WGSL leaves that to the GPU. */
  isFiniteOnly?: boolean;
}

/** ONNX Runtime with every kernel forced to run there, with and without the methods that it may lack elsewhere. */
export const FORCED: readonly Configuration[] = [
  { label: 'onnxruntime', engine: 'onnxruntime', settings: { minimumSize: 0 } },
  {
    label: 'onnxruntime without NCHWc',
    engine: 'onnxruntime',
    settings: { minimumSize: 0, nchwc: 'off' },
  },
  {
    label: 'onnxruntime without zero-copy',
    engine: 'onnxruntime',
    settings: { minimumSize: 0, zeroCopy: 'off' },
  },
  {
    label: 'onnxruntime without both',
    engine: 'onnxruntime',
    settings: { minimumSize: 0, nchwc: 'off', zeroCopy: 'off' },
  },
];

/** As a worker trains, and without those methods. */
export const TRAINING: readonly Configuration[] = [
  { label: 'onnxruntime', engine: 'onnxruntime', settings: {} },
  { label: 'onnxruntime without both', engine: 'onnxruntime', settings: { nchwc: 'off', zeroCopy: 'off' } },
];

export const TENSORFLOW: Configuration = { label: 'tensorflow', engine: 'tensorflow', settings: {} };

/** True where the engine "tensorflow" is not linked to a library; prints why the tests that need it are skipped. */
export function tensorflowIsMissing(): boolean {
  const isMissing = readBuild() === null;
  if (isMissing)
    console.log('skipped: needs a TensorFlow; see docs/tensorflow.md, or run scripts/link-tensorflow');
  return isMissing;
}

export const CPU: Configuration = { label: 'cpu', engine: 'cpu', settings: {} };

/** Makes a configuration's backend tfjs's current one. The cpu backend is there beside it. */
export async function startEngine({ engine, settings }: Configuration): Promise<void> {
  if (engine === 'cpu') await tf.setBackend('cpu');
  else await selectEngine(engine, { trainsConvolutions: false }, settings);
}

/** Counts the graphs that the current backend runs from now on; always null where the engine has none. */
export function countNativeRuns(): () => number | null {
  const backend = tf.backend() as unknown as Record<string, unknown>;
  const methods = ['run', 'runInto', 'runInChunks'].filter((name) => typeof backend[name] === 'function');
  let count = 0;
  for (const name of methods) {
    const run = backend[name] as (...args: unknown[]) => unknown;
    backend[name] = (...args: unknown[]) => {
      count++;
      return run.apply(backend, args);
    };
  }
  return () => (methods.length > 0 ? count : null);
}
