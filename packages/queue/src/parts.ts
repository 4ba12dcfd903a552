import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { CommandChannel } from './command-channel.js';
import type { JobPayload, WebhookPayload } from './payload.js';

/** What the functions of this package work on; all of it over the same Redis and prefix. */
export interface QueueParts {
  redis: Redis;
  prefix: string;
  jobs: Queue<JobPayload>;
  webhooks: Queue<WebhookPayload>;
  channel: CommandChannel;
}
