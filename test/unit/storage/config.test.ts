import { ConfigError, parseConfig } from '@headstart/contracts';
import { storageConfig, storageConfigShape } from '@headstart/storage';
import { expect, test } from 'vitest';
import { z } from 'zod';

const parse = (env: Record<string, string>) => storageConfig(parseConfig(z.object(storageConfigShape), env));

test('no setting allows no files and means AWS', () => {
  expect(parse({})).toEqual({
    fileRoots: [],
    allowedNetworks: [],
    s3: { region: 'us-east-1', forcePathStyle: false },
  });
});

test('an endpoint brings path style with it, unless that is set', () => {
  const endpoint = 'http://127.0.0.1:9000';
  expect(parse({ S3_ENDPOINT: endpoint }).s3).toEqual({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
  });
  expect(parse({ S3_ENDPOINT: endpoint, S3_FORCE_PATH_STYLE: 'false' }).s3.forcePathStyle).toBe(false);
});

test('clients may reach the server elsewhere', () => {
  const publicEndpoint = 'https://s3.example.com';
  const { s3 } = parse({ S3_ENDPOINT: 'http://s3:8333', S3_PUBLIC_ENDPOINT: publicEndpoint });
  expect(s3.publicEndpoint).toBe(publicEndpoint);
});

test('roots are cleaned', () => {
  expect(parse({ FILE_ROOTS: '/data/, /srv/x/../sets ,' }).fileRoots).toEqual(['/data', '/srv/sets']);
});

test('everything that is wrong is named at once', () => {
  const bad = { FILE_ROOTS: 'data', S3_ENDPOINT: 'localhost:9000', S3_FORCE_PATH_STYLE: 'perhaps' };
  let message = '';
  try {
    parse(bad);
  } catch (error) {
    if (error instanceof ConfigError) message = error.message;
  }
  for (const name of Object.keys(bad)) expect(message).toContain(`${name}: must be`);
});
