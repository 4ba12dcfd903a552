import { defineConfig } from 'vitest/config';

/** `npm run keras:fix`: apart from the tests, because it writes what they compare with, and needs Python. */
export default defineConfig({ test: { include: ['test/keras/record.ts'], testTimeout: 3_600_000 } });
