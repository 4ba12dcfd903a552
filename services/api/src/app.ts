import type { ObjectStores } from '@headstart/contracts';
import { type createRedis } from '@headstart/queue';
import { createUrlGuard } from '@headstart/storage';
import { fastify, type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import type { ApiConfig } from './config.js';
import { REQUEST_LIMITS } from './http/limits.js';
import { callersPlugin } from './plugins/callers.js';
import { jobFeedsPlugin } from './plugins/job-feeds.js';
import { metricsPlugin } from './plugins/metrics.js';
import { methodsPlugin } from './plugins/methods.js';
import { openapiPlugin } from './plugins/openapi.js';
import { ownJobsPlugin } from './plugins/own-jobs.js';
import { ownWebhooksPlugin } from './plugins/own-webhooks.js';
import { answerClientError, problemsPlugin, sendProblem } from './plugins/problems.js';
import { queuePlugin } from './plugins/queue.js';
import { rateLimitPlugin } from './plugins/rate-limit.js';
import { chooseRequestId, requestIdPlugin } from './plugins/request-id.js';
import { validationPlugin } from './plugins/validation.js';
import { cancelJobRoute } from './routes/cancel-job.js';
import { createJobRoute } from './routes/create-job.js';
import { createWebhookRoute } from './routes/create-webhook.js';
import { deleteJobRoute } from './routes/delete-job.js';
import { deleteWebhookRoute } from './routes/delete-webhook.js';
import { finishJobRoute } from './routes/finish-job.js';
import { getArtifactRoute } from './routes/get-artifact.js';
import { getJobRoute } from './routes/get-job.js';
import { getLogsRoute } from './routes/get-logs.js';
import { getWebhookRoute } from './routes/get-webhook.js';
import { healthzRoute } from './routes/healthz.js';
import { jobEventsRoute } from './routes/job-events.js';
import { listArtifactsRoute } from './routes/list-artifacts.js';
import { listJobDeliveriesRoute } from './routes/list-job-deliveries.js';
import { listJobsRoute } from './routes/list-jobs.js';
import { listWebhookDeliveriesRoute } from './routes/list-webhook-deliveries.js';
import { listWebhooksRoute } from './routes/list-webhooks.js';
import { metricsRoute } from './routes/metrics.js';
import { readyzRoute } from './routes/readyz.js';
import { replayJobDeliveryRoute } from './routes/replay-job-delivery.js';
import { replayWebhookDeliveryRoute } from './routes/replay-webhook-delivery.js';
import { retryJobRoute } from './routes/retry-job.js';
import { rotateWebhookSecretRoute } from './routes/rotate-webhook-secret.js';
import { updateWebhookRoute } from './routes/update-webhook.js';

/** What the app uses and does not own: whoever opened them closes them after the app. */
export interface AppDeps {
  /** From `createRedis(url, 'api')`. */
  redis: ReturnType<typeof createRedis>;
  stores: ObjectStores;
  logger: FastifyBaseLogger;
}

/** The one place that builds the HTTP service; it listens to nothing, and needs no Redis to start. */
export async function buildApp(config: ApiConfig, deps: AppDeps): Promise<FastifyInstance> {
  const app: FastifyInstance = fastify({
    loggerInstance: deps.logger,
    ...REQUEST_LIMITS,
    // A client's own id is taken only if it is safe to log: genReqId looks at the header.
    requestIdHeader: false,
    logController: new LogController({ requestIdLogLabel: 'requestId' }),
    genReqId: chooseRequestId,
    trustProxy: config.trustedProxies.length > 0 && config.trustedProxies,
    clientErrorHandler: answerClientError,
    // Fastify's own 503 is no problem+json. What still comes in on an open connection is answered, and the connection closed behind it.
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => sendProblem(error, request, reply),
  });
  await app.register(requestIdPlugin);
  await app.register(metricsPlugin);
  await app.register(validationPlugin);
  await app.register(problemsPlugin);
  await app.register(openapiPlugin);
  await app.register(methodsPlugin);
  await app.register(queuePlugin, { redis: deps.redis, prefix: config.queuePrefix });
  await app.register(callersPlugin, { config });
  await app.register(rateLimitPlugin, { requestsPerMinute: config.requestsPerMinute });
  await app.register(ownJobsPlugin);
  await app.register(ownWebhooksPlugin);
  await app.register(jobFeedsPlugin, { redis: deps.redis, prefix: config.queuePrefix });

  await app.register(createJobRoute, { config, stores: deps.stores });
  await app.register(listJobsRoute);
  await app.register(getJobRoute);
  await app.register(cancelJobRoute);
  await app.register(finishJobRoute);
  await app.register(retryJobRoute, { config, stores: deps.stores });
  await app.register(deleteJobRoute, { config, stores: deps.stores });
  await app.register(jobEventsRoute);
  await app.register(getLogsRoute);
  await app.register(listArtifactsRoute, { config, stores: deps.stores });
  await app.register(getArtifactRoute, { config, stores: deps.stores });
  await app.register(listJobDeliveriesRoute);
  await app.register(replayJobDeliveryRoute);

  const urlGuard = createUrlGuard(config.storage.allowedNetworks);
  await app.register(createWebhookRoute, { urlGuard });
  await app.register(listWebhooksRoute);
  await app.register(getWebhookRoute);
  await app.register(updateWebhookRoute, { urlGuard });
  await app.register(deleteWebhookRoute);
  await app.register(rotateWebhookSecretRoute);
  await app.register(listWebhookDeliveriesRoute);
  await app.register(replayWebhookDeliveryRoute);

  await app.register(healthzRoute);
  await app.register(readyzRoute);
  await app.register(metricsRoute);
  app.refuseOtherMethods();
  return app;
}
