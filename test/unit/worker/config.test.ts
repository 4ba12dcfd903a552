import { ConfigError } from '@headstart/contracts';
import { readConfig } from '@headstart/worker';
import { describe, expect, it } from 'vitest';

const REQUIRED = { WORK_DIR: '/var/work', CACHE_DIR: '/var/cache' };

describe('the configuration', () => {
  it('has a default for all but the two folders', () => {
    const config = readConfig(REQUIRED);
    expect(config).toMatchObject({
      engine: 'auto',
      lockDurationMs: 30_000,
      stalledIntervalMs: 15_000,
      shutdownGraceMs: 300_000,
      webhooks: { secrets: [], timeoutMs: 15_000 },
      datasetLimits: {
        downloadBytes: 5e9,
        archiveEntries: 200_000,
        expandedBytes: 20e9,
        expansionRatio: 100,
        refusedShare: 0.2,
        pictureBytes: 25e6,
        picturePixels: 50e6,
        pictureSidePx: 10_240,
        decodeSeconds: 20,
        decodeMemoryBytes: 1e9,
      },
    });
    expect(config.webhooks.retryDelaysSeconds).toEqual([
      5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400,
    ]);
  });

  it('counts whole pixels, however many megapixels a picture may have', () => {
    // 8.3 * 1e6 is not 8300000, and no decoder takes part of a pixel.
    const { datasetLimits } = readConfig({ ...REQUIRED, PICTURE_MAX_MEGAPIXELS: '8.3' });
    expect(datasetLimits.picturePixels).toBe(8_300_000);
  });

  it('counts whole milliseconds: no timer takes part of one', () => {
    // 16.1 * 1000 is 16100.000000000002.
    const env = { ...REQUIRED, WEBHOOK_TIMEOUT_SECONDS: '16.1', SHUTDOWN_GRACE_SECONDS: '16.1' };
    expect(readConfig(env)).toMatchObject({ shutdownGraceMs: 16_100, webhooks: { timeoutMs: 16_100 } });
  });

  it('refuses times that no timer waits for: it would not wait at all', () => {
    const longest = {
      LOCK_DURATION_MS: 24 * 86_400_000,
      STALLED_INTERVAL_MS: 24 * 86_400_000,
      SHUTDOWN_GRACE_SECONDS: 24 * 86_400,
      STALL_TIMEOUT_MINUTES: 24 * 1440,
      WEBHOOK_TIMEOUT_SECONDS: 24 * 86_400,
    };
    for (const [name, value] of Object.entries(longest)) {
      expect(() => readConfig({ ...REQUIRED, [name]: String(value) })).not.toThrow();
      expect(() => readConfig({ ...REQUIRED, [name]: String(value + 1) })).toThrow(`${name}: Too big`);
    }
  });

  it('gives trainers its own environment, and settings of the allocator that the environment can replace', () => {
    const env = { ...REQUIRED, AWS_REGION: 'eu-west-1', MALLOC_TRIM_THRESHOLD_: '1000' };
    expect(readConfig(env).trainerEnvironment).toEqual({ ...env, MALLOC_MMAP_THRESHOLD_: '33554432' });
  });

  it('names every variable that is wrong', () => {
    const env = {
      WORK_DIR: 'relative',
      ENGINE: 'abacus',
      WEBHOOK_SECRET: 'whsec_c2hvcnQ=',
      WEBHOOK_RETRY_DELAYS_SECONDS: '5,,x',
    };
    const read = () => readConfig(env);
    expect(read).toThrow(ConfigError);
    for (const name of ['WORK_DIR', 'CACHE_DIR', 'ENGINE', 'WEBHOOK_SECRET', 'WEBHOOK_RETRY_DELAYS_SECONDS'])
      expect(read).toThrow(name);
  });
});
