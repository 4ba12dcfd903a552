import { ConfigError } from '@headstart/contracts';
import { createLogger } from '@headstart/logging';
import { readConfig, type WorkerConfig } from './config.js';
import { createMetrics } from './metrics/metrics.js';
import { startMetricsServer } from './metrics/server.js';
import { startSupervisor } from './supervisor/supervisor.js';

/** Beyond the grace, for what a shutdown still writes. A Redis that is away then leaves the job to the stalled check. */
const CLOSE_WITHIN_MS = 10_000;

async function main(config: WorkerConfig): Promise<void> {
  const logger = createLogger(config.logLevel);
  const metrics = createMetrics();
  if (config.metrics) {
    const url = await startMetricsServer(metrics.registry, config.metrics);
    logger.info({ url }, 'metrics');
  }
  const supervisor = await startSupervisor(config, logger, metrics);
  let isClosing = false;

  const onSignal = (signal: NodeJS.Signals) => {
    if (isClosing) {
      logger.warn({ signal }, 'a second signal: ending at once');
      supervisor.kill();
      process.exit(1);
    }
    isClosing = true;
    logger.info({ signal }, 'closing; the running job goes back to the queue');
    const timer = setTimeout(() => {
      logger.error('closing takes too long; a job that was running is queued again when its lock runs out');
      process.exit(1);
    }, config.shutdownGraceMs + CLOSE_WITHIN_MS);
    timer.unref();
    supervisor.close().then(
      () => {
        logger.info('closed');
        process.exit(0);
      },
      (err: unknown) => {
        logger.fatal({ err }, 'closing failed');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  logger.info({ engine: config.engine }, 'ready');
}

try {
  process.title = 'headstart-worker';
  await main(readConfig());
} catch (error) {
  process.stderr.write(`${error instanceof ConfigError ? error.message : String(error)}\n`);
  process.exit(1);
}
