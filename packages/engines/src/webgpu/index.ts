import { createRequire } from 'node:module';
import type { Runtime } from '@headstart/contracts';
import * as tf from '@tensorflow/tfjs-core';
import type { Engine, EngineSettings } from '../engine.js';
import { type OpenedGpu, openGpu } from './dawn.js';

export interface WebgpuSettings extends EngineSettings {
  /** 0 runs every kernel on the GPU; else tfjs computes small tensors that are not there yet on the CPU. */
  minimumSize?: 0;
}

/** Kept for the next start: a process has no more than one. */
let opened: OpenedGpu | null = null;

/** tfjs's WebGPU backend on Dawn, Chromium's implementation: every GPU with a Vulkan driver, without CUDA. */
export const webgpu: Engine = {
  name: 'webgpu',
  trainsConvolutions: true,
  start: (settings) => startWebgpu(settings),
};

async function startWebgpu(settings: WebgpuSettings = {}): Promise<Pick<Runtime, 'device' | 'versions'>> {
  if (opened?.info.isFallbackAdapter && settings.needsGpu) opened = null;
  const gpu = (opened ??= await openGpu(!settings.needsGpu));
  void gpu.device.lost.then(() => (opened = null));
  const { CheckedBackend } = await import('./backend.js');
  const { registerKernels } = await import('./kernels/index.js');
  registerKernels();
  tf.removeBackend('webgpu');
  tf.registerBackend('webgpu', () => new CheckedBackend(gpu, settings.minimumSize === 0), 3);
  if (!(await tf.setBackend('webgpu'))) throw new Error('tfjs did not accept the backend.');
  const { device, vendor, architecture, description } = gpu.info;
  return {
    device: device || `${vendor} ${architecture}`,
    versions: { tfjs: tf.version_core, webgpu: versionOf('webgpu'), driver: description },
  };
}

function versionOf(name: string): string {
  return (createRequire(import.meta.url)(`${name}/package.json`) as { version: string }).version;
}
