export { readConfig, type WorkerConfig } from './config.js';
export { createProgressThrottle } from './trainer/throttle.js';
export { createMeter } from './trainer/progress.js';
export { retain } from './trainer/checkpoints.js';
export { IMAGENET_FILE, verifiedFile } from './trainer/imagenet.js';
export { Assignment, FromTrainer, stopError, ToTrainer } from './trainer-protocol.js';
export { parseRetryAfterMs, retryDelayMs } from './webhooks/schedule.js';
export { signedHeaders } from './webhooks/signature.js';
export { createWebhookWorker, webhookId, type WebhookWorkerOptions } from './webhooks/worker.js';
