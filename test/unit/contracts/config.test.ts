import { ConfigError, parseConfig } from '@headstart/contracts';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';

const Environment = z.object({
  PORT: z.coerce.number().int().default(3000),
  FOLDER: z.string().startsWith('/', { error: 'must be absolute' }),
  STORE_URL: z.string().startsWith('redis://', { error: 'must start with redis://' }).optional(),
  SIGNING_SECRET: z.string().startsWith('whsec_', { error: 'must start with whsec_' }).optional(),
});

function messageOf(env: Record<string, string | undefined>): string {
  try {
    parseConfig(Environment, env);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message;
  }
  throw new Error('The environment was accepted.');
}

describe('parseConfig', () => {
  it('takes defaults for what is unset or empty', () => {
    expect(parseConfig(Environment, { FOLDER: '/data', PORT: '', STORE_URL: undefined })).toEqual({
      PORT: 3000,
      FOLDER: '/data',
    });
  });

  it('names every problem at once, with what was received and what is allowed', () => {
    const message = messageOf({ PORT: 'many', FOLDER: 'data' });
    expect(message).toContain('PORT: ');
    expect(message).toContain('(received "many")');
    expect(message).toContain('FOLDER: must be absolute (received "data")');
    expect(messageOf({})).toContain('(received nothing)');
  });

  it('shows no secret', () => {
    const message = messageOf({
      FOLDER: '/data',
      SIGNING_SECRET: 'hunter2',
      STORE_URL: 'http://me:hunter2@host/',
    });
    expect(message).toContain('SIGNING_SECRET: must start with whsec_');
    expect(message).toContain('http://***@host/');
    expect(message).not.toContain('hunter2');
  });
});
