import { isAbsolute } from 'node:path';
import { LogLevel, parseConfig, WebhookSecret } from '@headstart/contracts';
import { datasetConfigShape, type DatasetLimits, datasetLimits } from '@headstart/dataset/config';
import { ENGINE_NAMES, type EngineName } from '@headstart/engines';
import { ALLOCATOR_ENVIRONMENT } from '@headstart/engines/allocator';
import { queueConfigShape } from '@headstart/queue';
import { storageConfig, type StorageConfig, storageConfigShape } from '@headstart/storage';
import { z } from 'zod';

const IMAGENET_WEIGHTS_URL =
  'https://storage.googleapis.com/tensorflow/keras-applications/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5';
/** Standard Webhooks' schedule: tries at 0, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h. */
const WEBHOOK_DELAYS = '5,300,1800,7200,18000,36000,50400,72000,86400';

const Folder = z.string().refine(isAbsolute, { error: 'must be an absolute folder' });
/** Node's timers wait for 24.8 days at most; beyond that they do not wait at all. */
const LONGEST_DAYS = 24;
const Milliseconds = z.coerce
  .number()
  .int()
  .min(100)
  .max(LONGEST_DAYS * 86_400_000);
const Seconds = z.coerce
  .number()
  .positive()
  .max(LONGEST_DAYS * 86_400);
const Minutes = z.coerce
  .number()
  .positive()
  .max(LONGEST_DAYS * 1440);

export const Environment = z.object({
  WORK_DIR: Folder,
  CACHE_DIR: Folder,
  ENGINE: z.enum(ENGINE_NAMES).default('auto'),
  ENGINE_THREADS: z.coerce.number().int().min(1).optional(),
  FEATURE_CACHE_MAX_GB: z.coerce.number().min(0).default(20),
  FEATURE_CACHE_URI: z
    .string()
    .regex(/^(s3|file):\/\/\S+\/$/, 'must be a folder at s3:// or file://, with a slash at its end')
    .optional(),
  IMAGENET_WEIGHTS_URL: z.url({ protocol: /^https?$/ }).default(IMAGENET_WEIGHTS_URL),
  LOG_LEVEL: LogLevel.default('info'),
  METRICS_HOST: z.string().default('127.0.0.1'),
  METRICS_PORT: z.coerce.number().int().min(0).max(65_535).optional(),
  LOCK_DURATION_MS: Milliseconds.default(30_000),
  STALLED_INTERVAL_MS: Milliseconds.default(15_000),
  SHUTDOWN_GRACE_SECONDS: Seconds.default(300),
  STALL_TIMEOUT_MINUTES: Minutes.default(30),
  WEBHOOK_SECRET: WebhookSecret.optional(),
  WEBHOOK_SECRET_PREVIOUS: WebhookSecret.optional(),
  WEBHOOK_RETRY_DELAYS_SECONDS: z
    .string()
    .default(WEBHOOK_DELAYS)
    .transform((list) => list.split(',').map((part) => Number(part.trim() || NaN)))
    .refine((delays) => delays.every((delay) => delay >= 0), {
      error: 'must be seconds, separated by commas',
    }),
  WEBHOOK_TIMEOUT_SECONDS: Seconds.default(15),
  ...queueConfigShape,
  ...storageConfigShape,
  ...datasetConfigShape,
});

export interface WorkerConfig {
  /** Scratch: one folder per attempt of a job. */
  workDir: string;
  /** Downloaded weights and features, kept. */
  cacheDir: string;
  engine: EngineName;
  /** Of an engine on the CPU; undefined: the physical cores, divided among the machine's workers. */
  engineThreads: number | undefined;
  /** This process's own, and what the trainer's libraries read from theirs. */
  trainerEnvironment: Record<string, string | undefined>;
  imagenetWeightsUrl: string;
  /** Below `cacheDir`, and at a folder that workers share, if there is one. */
  featureCache: { maxBytes: number; uri: string | undefined };
  redisUrl: string;
  queuePrefix: string;
  logLevel: LogLevel;
  /** Where Prometheus finds this worker's metrics, port 0 being any free one; null: nowhere. */
  metrics: { host: string; port: number } | null;
  lockDurationMs: number;
  stalledIntervalMs: number;
  /** How long a trainer may take to end after a SIGTERM before it is killed. */
  shutdownGraceMs: number;
  /** How long a trainer may neither report nor compute before it is ended. */
  stallTimeoutMs: number;
  webhooks: WebhookConfig;
  storage: StorageConfig;
  datasetLimits: DatasetLimits;
}

export interface WebhookConfig {
  /** `whsec_...`, of jobs' own webhooks, the newest first; without one nothing can be signed, so nothing is sent. */
  secrets: string[];
  /** Seconds to wait after the first, second, ... failed try. One more try than delays. */
  retryDelaysSeconds: number[];
  timeoutMs: number;
}

/** @throws ConfigError naming every variable that is wrong. */
export function readConfig(env: Record<string, string | undefined> = process.env): WorkerConfig {
  const parsed = parseConfig(Environment, env);
  return {
    workDir: parsed.WORK_DIR,
    cacheDir: parsed.CACHE_DIR,
    engine: parsed.ENGINE,
    engineThreads: parsed.ENGINE_THREADS,
    trainerEnvironment: { ...ALLOCATOR_ENVIRONMENT, ...env },
    imagenetWeightsUrl: parsed.IMAGENET_WEIGHTS_URL,
    featureCache: { maxBytes: parsed.FEATURE_CACHE_MAX_GB * 1e9, uri: parsed.FEATURE_CACHE_URI },
    redisUrl: parsed.REDIS_URL,
    queuePrefix: parsed.QUEUE_PREFIX,
    logLevel: parsed.LOG_LEVEL,
    metrics:
      parsed.METRICS_PORT === undefined ? null : { host: parsed.METRICS_HOST, port: parsed.METRICS_PORT },
    lockDurationMs: parsed.LOCK_DURATION_MS,
    stalledIntervalMs: parsed.STALLED_INTERVAL_MS,
    shutdownGraceMs: Math.round(parsed.SHUTDOWN_GRACE_SECONDS * 1000),
    stallTimeoutMs: parsed.STALL_TIMEOUT_MINUTES * 60_000,
    webhooks: {
      secrets: [parsed.WEBHOOK_SECRET, parsed.WEBHOOK_SECRET_PREVIOUS].filter(
        (secret) => secret !== undefined,
      ),
      retryDelaysSeconds: parsed.WEBHOOK_RETRY_DELAYS_SECONDS,
      timeoutMs: Math.round(parsed.WEBHOOK_TIMEOUT_SECONDS * 1000),
    },
    storage: storageConfig(parsed),
    datasetLimits: datasetLimits(parsed),
  };
}
