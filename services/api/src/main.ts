import { ConfigError } from '@headstart/contracts';
import { createLogger } from '@headstart/logging';
import { createRedis } from '@headstart/queue';
import { createStores } from '@headstart/storage';
import closeWithGrace from 'close-with-grace';
import { buildApp } from './app.js';
import { type ApiConfig, readConfig } from './config.js';

/** Longer than the request time limit: what has come in is answered. */
const CLOSE_WITHIN_MS = 15_000;

async function main(config: ApiConfig): Promise<void> {
  const logger = createLogger(config.logLevel);
  const redis = createRedis(config.redisUrl, 'api');
  const stores = createStores(config.storage);
  const app = await buildApp(config, { redis, stores, logger });

  closeWithGrace({ delay: CLOSE_WITHIN_MS, logger }, async ({ signal, err }) => {
    if (err) logger.fatal({ err }, 'closing after an error');
    else logger.info({ signal }, 'closing');
    await app.close();
    redis.disconnect();
    stores.close();
  });

  const address = await app.listen({ host: await app.chooseHost(), port: config.port });
  logger.info({ address }, 'listening');
}

try {
  await main(readConfig());
} catch (error) {
  process.stderr.write(`${error instanceof ConfigError ? error.message : String(error)}\n`);
  process.exit(1);
}
