import { isBelowAny, isUriPrefix } from '@headstart/storage';
import { describe, expect, it } from 'vitest';

describe('a prefix', () => {
  it.each([
    ['s3://bucket/a', 's3://bucket/a'],
    ['s3://bucket/a', 's3://bucket/a/'],
    ['s3://bucket/a/', 's3://bucket/a'],
    ['s3://bucket/a/', 's3://bucket/a/b/c.zip'],
    ['s3://bucket', 's3://bucket/a'],
    ['s3://bucket/', 's3://bucket'],
    ['s3://bucket/a%2fb', 's3://bucket/a%2fb/c'],
    ['file:///data', 'file:///data/a'],
    ['file:///data/a%20b/', 'file:///data/a b/c'],
    ['file:///data/a', 'file:///data/x/../a/b'],
    ['file:///', 'file:///data'],
  ])('%s allows %s', (prefix, uri) => {
    expect(isBelowAny(uri, [prefix])).toBe(true);
  });

  it.each([
    ['s3://bucket/a', 's3://bucket/ab'],
    ['s3://bucket/a/', 's3://bucket/ab/'],
    ['s3://bucket/a', 's3://bucket/'],
    ['s3://bucket/a', 's3://bucket/a/../b'],
    ['s3://bucket/a', 's3://bucket/a/./b'],
    ['s3://bucket/a', 's3://bucket/a//b'],
    ['s3://bucket/a', 's3://bucket//a'],
    ['s3://bucket/a', 's3://bucket/A'],
    ['s3://bucket/a', 's3://bucket-2/a'],
    ['s3://bucket/a', 's3://bucke/a'],
    ['s3://bucket', 's3://bucket.other/a'],
    ['s3://bucket/a%2fb', 's3://bucket/a/b'],
    ['s3://data/a', 'file:///data/a'],
    ['file:///data/a', 's3://data/a'],
    ['file:///data/a', 'file:///data/ab'],
    ['file:///data/a', 'file:///data/a/../b'],
    ['file:///data/a', 'file:///data/a/%2e%2e/b'],
    ['file:///data/a', 'file:///data/a/..%2fb'],
    ['file:///data/a', 'file:///data/a//b'],
    ['file:///data/a', 'file:///data/a/b%00'],
    ['file:///data/a', 'file:///data'],
    ['s3://bucket', 'https://bucket/a'],
    ['s3://bucket', 'bucket/a'],
  ])('%s does not allow %s', (prefix, uri) => {
    expect(isBelowAny(uri, [prefix])).toBe(false);
  });

  it('of several, one is enough; of none, none is', () => {
    expect(isBelowAny('s3://bucket/b/c', ['s3://bucket/a', 's3://bucket/b'])).toBe(true);
    expect(isBelowAny('s3://bucket/b/c', [])).toBe(false);
  });

  it.each(['https://bucket/a', 's3://', 's3:///a', 's3://bucket/../b', 'any', 'file://host/a', ''])(
    'cannot be "%s"',
    (uri) => {
      expect(isUriPrefix(uri)).toBe(false);
      expect(isBelowAny('s3://bucket/a', [uri])).toBe(false);
    },
  );
});
