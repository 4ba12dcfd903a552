import { ConfigError } from '@headstart/contracts';
import { readKeysConfig } from '../config.js';
import { keysCommand, UsageError } from './keys.js';

const USAGE = `Usage: headstart keys create --tenant NAME --name TEXT --role read|submit|admin --allow URI|any ...
                             [--max-queued N] [--max-running N] [--requests-per-minute N]
       headstart keys list
       headstart keys revoke ID

create prints the key, once: it is not kept. --allow may be there several times: jobs of the key may use s3:// and
file:// URIs below these, and with "any" all that the service can. --max-queued and --max-running are for all jobs of
the tenant; without them there is no limit.
The keys are in the Redis at REDIS_URL, below QUEUE_PREFIX.
`;

const [command, ...args] = process.argv.slice(2);
const asksForHelp = command === 'help' || process.argv.includes('--help') || process.argv.includes('-h');
try {
  if (asksForHelp) process.stdout.write(USAGE);
  else if (command === 'keys') await keysCommand(args, readKeysConfig());
  else throw new UsageError(command === undefined ? 'no command' : `there is no command "${command}"`);
} catch (error) {
  if (error instanceof UsageError) process.stderr.write(`headstart: ${error.message}\n\n${USAGE}`);
  else
    process.stderr.write(`${error instanceof ConfigError ? error.message : `headstart: ${String(error)}`}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
