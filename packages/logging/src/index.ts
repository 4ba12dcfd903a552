import type { LogLevel } from '@headstart/contracts';
import { type Logger, pino } from 'pino';
import pretty from 'pino-pretty';

/** Opens a service's log on stdout: JSON, one object a line, and in a terminal the same for people. */
export function createLogger(level: LogLevel): Logger {
  if (!process.stdout.isTTY) return pino({ level });
  // In step, so that the last lines are there when the process ends.
  return pino({ level }, pretty({ sync: true, ignore: 'pid,hostname' }));
}
