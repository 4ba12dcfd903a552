import { defineConfig } from 'vitest/config';

/** `npm run parity:fix`: apart from the tests, because it writes what they compare with. */
export default defineConfig({ test: { include: ['test/engines/record-losses.ts'] } });
