import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { setNativeEnvironment } from '../../../packages/engines/src/tensorflow/config.js';
import { describeGpu, parseGpu } from '../../../packages/engines/src/tensorflow/gpu.js';

describe('the environment of native libraries', () => {
  beforeEach(() => {
    for (const name of ['CUDA_VISIBLE_DEVICES', 'CUDA_CACHE_PATH', 'TF_NUM_INTRAOP_THREADS'])
      vi.stubEnv(name, undefined);
  });
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it('is set', () => {
    setNativeEnvironment({ threads: 3, kernelCacheDir: '/cache/cuda' });
    expect(process.env).toMatchObject({
      TF_NUM_INTRAOP_THREADS: '3',
      TF_FORCE_GPU_ALLOW_GROWTH: 'true',
      CUDA_CACHE_PATH: '/cache/cuda',
    });
  });

  it('is kept where the deployment has set it', () => {
    vi.stubEnv('CUDA_CACHE_PATH', '/elsewhere');
    vi.stubEnv('TF_DETERMINISTIC_OPS', '0');
    setNativeEnvironment({ threads: 3, kernelCacheDir: '/cache/cuda' });
    expect(process.env).toMatchObject({ CUDA_CACHE_PATH: '/elsewhere', TF_DETERMINISTIC_OPS: '0' });
  });

  it.each([
    [undefined, '0'],
    ['2', '2'],
    ['3,1,2', '3'],
    ['GPU-8f3c, GPU-17ab', 'GPU-8f3c'],
    ['-1', '-1'],
    ['', ''],
  ])('shows CUDA one GPU of CUDA_VISIBLE_DEVICES=%s: %s', (given, expected) => {
    vi.stubEnv('CUDA_VISIBLE_DEVICES', given);
    expect(setNativeEnvironment({ threads: 1, kernelCacheDir: undefined })).toBe(expected);
    expect(process.env['CUDA_VISIBLE_DEVICES']).toBe(expected);
  });
});

describe('a GPU', () => {
  it('is described as nvidia-smi has it', () => {
    expect(parseGpu('NVIDIA H200, 143771, 9.0, 570.86.15\n')).toEqual({
      device: 'NVIDIA H200 (140 GiB, compute capability 9.0)',
      driver: '570.86.15',
    });
  });

  it('is named by its number where nvidia-smi does not know it', () => {
    expect(describeGpu('77').device).toBe('CUDA device 77, which nvidia-smi does not describe');
  });
});
