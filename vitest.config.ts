import { ALLOCATOR_ENVIRONMENT } from '@headstart/engines/allocator';
import { defineConfig } from 'vitest/config';

const redis = 'test/support/redis.ts';

export default defineConfig({
  test: {
    pool: 'forks',
    reporters: ['default', './test/support/skip-reporter.ts'],
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 20_000 },
      },
      {
        extends: true,
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          globalSetup: redis,
          testTimeout: 120_000,
          // A first run may build an S3 server.
          hookTimeout: 600_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'engines',
          include: ['test/engines/**/*.test.ts'],
          // They train whole networks, and measure memory.
          fileParallelism: false,
          // As the worker runs its trainers.
          env: ALLOCATOR_ENVIRONMENT,
          testTimeout: 180_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'faults',
          include: ['test/faults/**/*.test.ts'],
          globalSetup: redis,
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          globalSetup: redis,
          // Each starts an API and workers, and wants the cores for itself.
          fileParallelism: false,
          testTimeout: 600_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
