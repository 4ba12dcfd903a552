import { AppError } from '@headstart/contracts';

/** Not imported by name: the package is optional, and TypeScript must not need it either. */
const PACKAGE = 'webgpu';

interface Dawn {
  /** The classes and constants of WebGPU, which a browser has as globals. */
  globals: Record<string, unknown>;
  create(options: string[]): GPU;
}

/** What a GPU is. `isFallbackAdapter` is true for one that the CPU emulates. */
export type GpuInfo = GPUAdapterInfo & { isFallbackAdapter: boolean };

/** A GPU that was opened. */
export interface OpenedGpu {
  device: GPUDevice;
  info: GpuInfo;
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
 * @param mayBeEmulated false refuses one that the CPU emulates.
 * @throws AppError engine_unavailable where there is none, or whatever keeps the library from loading.
 */
export async function openGpu(mayBeEmulated: boolean): Promise<OpenedGpu> {
  const { create, globals } = (await import(PACKAGE)) as Dawn;
  const gpu = create([]);
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter)
    throw new AppError(
      'engine_unavailable',
      'WebGPU finds no GPU. It needs one with a Vulkan driver, see docs/webgpu.md.',
    );
  // Newer than the types that come with tfjs.
  const { info } = adapter as unknown as { info: GpuInfo };
  if (info.isFallbackAdapter && !mayBeEmulated)
    throw new AppError(
      'engine_unavailable',
      `WebGPU finds no GPU but "${info.device}", which the CPU emulates.`,
    );
  const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
  const device = await adapter.requestDevice({ requiredLimits });
  Object.assign(globalThis, globals);
  Object.defineProperty(navigator, 'gpu', { value: gpu, configurable: true });
  return { device, info };
}
