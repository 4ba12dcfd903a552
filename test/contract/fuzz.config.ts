import { defineConfig } from 'vitest/config';

/** `npm run test:contract`: apart from the tests, because it needs schemathesis, a Python program, and draws new requests each time. */
export default defineConfig({
  test: {
    include: ['test/contract/fuzz.ts'],
    globalSetup: 'test/support/redis.ts',
    reporters: ['default', './test/support/skip-reporter.ts'],
    testTimeout: 600_000,
    hookTimeout: 60_000,
  },
});
