import { LogLevel, parseConfig, uriOf, WebhookSecret } from '@headstart/contracts';
import { queueConfigShape } from '@headstart/queue';
import { NetworkList, storageConfig, type StorageConfig, storageConfigShape } from '@headstart/storage';
import { z } from 'zod';

export const Environment = z.object({
  API_HOST: z.string().default('127.0.0.1'),
  API_ALLOW_ANONYMOUS: z.stringbool({ error: 'must be true or false' }).default(false),
  API_PORT: z.coerce.number().int().min(0).max(65_535).default(3000),
  OUTPUT_URI: uriOf(['s3', 'file'], 'OUTPUT_URI'),
  RATE_LIMIT_PER_MINUTE: z.coerce.number().int().min(1).default(60_000),
  TRUSTED_PROXIES: NetworkList,
  LOG_LEVEL: LogLevel.default('info'),
  WEBHOOK_SECRET: WebhookSecret.optional(),
  ...queueConfigShape,
  ...storageConfigShape,
});

export interface ApiConfig {
  host: string;
  /** Whether requests without a key are admitted from other machines too, as long as there are no keys. */
  allowsAnonymous: boolean;
  /** 0 takes any free port. */
  port: number;
  /** Folder for the output of jobs that name none, with a slash at its end. */
  outputUri: string;
  redisUrl: string;
  queuePrefix: string;
  /** Requests that one client may send to this process. */
  requestsPerMinute: number;
  /** CIDRs of gateways whose X-Forwarded-For says who a client is. */
  trustedProxies: string[];
  logLevel: LogLevel;
  /** Whether the deployment has a secret to sign webhooks with; the API itself signs nothing. */
  signsWebhooks: boolean;
  storage: StorageConfig;
}

/** @throws ConfigError naming every variable that is wrong. */
export function readConfig(env: Record<string, string | undefined> = process.env): ApiConfig {
  const parsed = parseConfig(Environment, env);
  return {
    host: parsed.API_HOST,
    allowsAnonymous: parsed.API_ALLOW_ANONYMOUS,
    port: parsed.API_PORT,
    outputUri: withSlash(parsed.OUTPUT_URI),
    redisUrl: parsed.REDIS_URL,
    queuePrefix: parsed.QUEUE_PREFIX,
    requestsPerMinute: parsed.RATE_LIMIT_PER_MINUTE,
    trustedProxies: parsed.TRUSTED_PROXIES,
    logLevel: parsed.LOG_LEVEL,
    signsWebhooks: parsed.WEBHOOK_SECRET !== undefined,
    storage: storageConfig(parsed),
  };
}

/** What the command line needs to find the keys. */
export function readKeysConfig(
  env: Record<string, string | undefined> = process.env,
): Pick<ApiConfig, 'redisUrl' | 'queuePrefix'> {
  const parsed = parseConfig(z.object(queueConfigShape), env);
  return { redisUrl: parsed.REDIS_URL, queuePrefix: parsed.QUEUE_PREFIX };
}

export function withSlash(uri: string): string {
  return uri.endsWith('/') ? uri : `${uri}/`;
}
