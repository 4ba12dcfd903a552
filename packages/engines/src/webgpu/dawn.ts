import { AppError } from '@headstart/contracts';
/// <reference types="@webgpu/types" />

/** Not imported by name: the package is optional, and TypeScript must not need it either. */
const PACKAGE = 'webgpu';

interface Dawn {
  /** The classes and constants of WebGPU, which a browser has as globals. */
  globals: Record<string, unknown>;
  create(options: string[]): GPU;
}

/** A GPU that was opened, and what it is. */
export interface OpenedGpu {
  device: GPUDevice;
  adapter: GPUAdapterInfo & { isFallbackAdapter: boolean };
}

/** What tfjs's programs need more of than WebGPU promises everywhere. */
const LIMITS = [
  'maxBufferSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupStorageSize',
  'maxComputeWorkgroupsPerDimension',
  'maxStorageBufferBindingSize',
] as const;

/**
 * Opens the fastest GPU by Dawn, Chromium's WebGPU, and puts WebGPU's globals where tfjs looks for them.
 * @throws AppError engine_unavailable where there is none, or whatever keeps the library from loading.
 */
export async function openGpu(): Promise<OpenedGpu> {
  const { create, globals } = (await import(PACKAGE)) as Dawn;
  Object.assign(globalThis, globals);
  const gpu = create([]);
  Object.defineProperty(navigator, 'gpu', { value: gpu, configurable: true });
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter)
    throw new AppError(
      'engine_unavailable',
      'WebGPU finds no GPU. It needs a Vulkan driver of this machine, see docs/webgpu.md.',
    );
  const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
  const device = await adapter.requestDevice({ requiredLimits });
  return { device, adapter: (adapter as unknown as { info: OpenedGpu['adapter'] }).info };
}
