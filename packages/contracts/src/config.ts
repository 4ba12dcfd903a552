import { z } from 'zod';
import { describeIssues, hideCredentials } from './validation.js';

/** pino's levels, for the LOG_LEVEL of every service. */
export const LogLevel = z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']);
export type LogLevel = z.infer<typeof LogLevel>;

/** Raised when a service's environment is not usable; the message lists every problem, one a line. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

/**
 * Parses a service's whole environment at once.
 *
 * Empty strings count as unset, as docker-compose passes unset variables that way.
 * @throws ConfigError naming every variable that is wrong, what it holds (unless it may be a secret) and what is allowed.
 */
export function parseConfig<T extends z.ZodType>(
  schema: T,
  env: Record<string, string | undefined>,
): z.infer<T> {
  const set = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value !== ''),
  );
  const result = schema.safeParse(set);
  if (result.success) return result.data;
  const lines = describeIssues(result.error, set).map(
    ({ field, message, received }) => `  ${field}: ${message} (received ${printable(field, received)})`,
  );
  throw new ConfigError(`The configuration is not usable:\n${lines.join('\n')}`);
}

/** Secrets must not end in a log: neither those named so, nor a password in a URL. */
function printable(name: string, value: unknown): string {
  if (value === undefined) return 'nothing';
  if (name.includes('SECRET')) return 'a value that is not shown';
  return hideCredentials(JSON.stringify(value));
}
