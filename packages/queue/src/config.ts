import { z } from 'zod';

/** The environment variables of the queue, to spread into a service's own schema. */
export const queueConfigShape = {
  REDIS_URL: z
    .string()
    .regex(/^rediss?:\/\//, 'must start with redis:// or rediss://')
    .default('redis://127.0.0.1:6379'),
  QUEUE_PREFIX: z.string().min(1).default('headstart'),
};
