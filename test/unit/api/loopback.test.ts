import { expect, it } from 'vitest';
import { isLoopback } from '../../../services/api/src/callers/loopback.js';

it.each(['127.0.0.1', '127.1.2.3', '::1', 'localhost'])('%s is this machine alone', (host) => {
  expect(isLoopback(host)).toBe(true);
});

it.each(['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', 'api.internal', 'localhost.example.com', ''])(
  '%s may be reached from elsewhere',
  (host) => {
    expect(isLoopback(host)).toBe(false);
  },
);
