import { withTimeout } from '../timeout.js';
import { REDIS_SETTINGS } from './server.js';

const IMAGE = 'valkey/valkey:8.1.4-alpine';
const START_TIMEOUT_MS = 120_000;

/**
 * Starts a Valkey server in a container. It is removed when this process ends, however it ends.
 * @throws Error where there is no container runtime, or the image cannot be had in time.
 */
export async function startRedisContainer(): Promise<{ url: string; stop(): Promise<void> }> {
  const { GenericContainer, Wait } = await import('testcontainers');
  const starting = new GenericContainer(IMAGE)
    .withCommand(['valkey-server', ...REDIS_SETTINGS])
    .withExposedPorts(6379)
    .withWaitStrategy(Wait.forLogMessage(/Ready to accept connections/))
    .withStartupTimeout(START_TIMEOUT_MS)
    .start();
  // testcontainers limits the start, but not the download of an image.
  const container = await withTimeout(starting, START_TIMEOUT_MS, `${IMAGE} did not start`);
  return {
    url: `redis://${container.getHost()}:${container.getMappedPort(6379)}`,
    async stop() {
      await container.stop();
    },
  };
}
