import { decodeWebhookSecret } from '@headstart/contracts';
import { webhookId } from '@headstart/queue';
import { parseRetryAfterMs, retryDelayMs, signedHeaders } from '@headstart/worker';
import { Webhook } from 'standardwebhooks';
import { describe, expect, it } from 'vitest';

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

describe('the signature', () => {
  const body = JSON.stringify({ type: 'job.succeeded', data: { id: 'ä' } });

  it('is one that the reference library accepts', () => {
    const headers = signedHeaders('job_1', body, [SECRET], new Date());
    expect(new Webhook(SECRET).verify(body, { ...headers })).toEqual(JSON.parse(body));
  });

  it('is refused with another secret, another body or an old timestamp', () => {
    const headers = { ...signedHeaders('job_1', body, [SECRET], new Date()) };
    const other = `whsec_${Buffer.alloc(32, 8).toString('base64')}`;
    const old = { ...signedHeaders('job_1', body, [SECRET], new Date(Date.now() - 3_600_000)) };
    expect(() => new Webhook(other).verify(body, headers)).toThrow();
    expect(() => new Webhook(SECRET).verify(`${body} `, headers)).toThrow();
    expect(() => new Webhook(SECRET).verify(body, old)).toThrow();
  });

  it('is there for each secret, while there are two', () => {
    const other = `whsec_${Buffer.alloc(32, 8).toString('base64')}`;
    const headers = { ...signedHeaders('job_1', body, [SECRET, other], new Date()) };
    for (const secret of [SECRET, other])
      expect(new Webhook(secret).verify(body, headers)).toEqual(JSON.parse(body));
  });

  it('has an id without full stops, of its own for each receiver', () => {
    expect(webhookId('0b-1', 'job.failed', null)).toBe('0b-1_job_failed');
    expect(webhookId('0b-1', 'job.failed', '5d-1')).toBe('0b-1_job_failed_5d-1');
  });
});

describe('the secret', () => {
  it.each([24, 32, 64])('may have %i bytes', (length) => {
    expect(decodeWebhookSecret(`whsec_${Buffer.alloc(length).toString('base64')}`)).toHaveLength(length);
  });

  it.each([
    '',
    'whsec_',
    'secret',
    `whsec_${Buffer.alloc(23).toString('base64')}`,
    `whsec_${'!'.repeat(40)}`,
  ])('must not be %j', (secret) => expect(decodeWebhookSecret(secret)).toBeNull());
});

describe('the retry schedule', () => {
  const delays = [5, 300, 1800];

  it('waits by the schedule, ten per cent more or less', () => {
    expect(retryDelayMs(1, delays, null, 0.5)).toBe(5000);
    expect(retryDelayMs(1, delays, null, 0)).toBe(4500);
    expect(retryDelayMs(3, delays, null, 1)).toBe(1_980_000);
  });

  it('ends after as many retries as there are delays', () => {
    expect(retryDelayMs(4, delays, null, 0.5)).toBeNull();
    expect(retryDelayMs(4, delays, 1000, 0.5)).toBeNull();
  });

  it('waits longer, never shorter, where the receiver asks for it', () => {
    expect(retryDelayMs(1, delays, 60_000, 0.5)).toBe(60_000);
    expect(retryDelayMs(2, delays, 60_000, 0.5)).toBe(300_000);
  });
});

describe('Retry-After', () => {
  const now = new Date('2026-01-01T00:00:00Z');

  it.each([
    [null, null],
    ['120', 120_000],
    ['Thu, 01 Jan 2026 00:01:00 GMT', 60_000],
    ['Thu, 01 Jan 2025 00:01:00 GMT', 0],
    ['999999999', 86_400_000],
    ['soon', null],
  ])('%j is %j ms', (header, expected) => {
    expect(parseRetryAfterMs(header, now)).toBe(expected);
  });
});
