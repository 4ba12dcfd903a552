import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { expect, test } from 'vitest';
import { startS3 } from '../support/s3.js';

test('the S3 server that the tests use checks credentials and conditions', async ({
  skip,
  onTestFinished,
}) => {
  const server = await startS3();
  if ('skip' in server) return skip(server.skip);
  const { endpoint, accessKeyId, secretAccessKey, bucket: Bucket } = server;
  const connect = (secret: string) =>
    new S3Client({
      endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey: secret },
    });
  const [client, stranger] = [connect(secretAccessKey), connect('wrong')];
  onTestFinished(async () => {
    client.destroy();
    stranger.destroy();
    await server.stop();
  });

  const object = { Bucket, Key: 'folder/a.txt' };
  await client.send(new PutObjectCommand({ ...object, Body: 'first', IfNoneMatch: '*' }));
  const again = client.send(new PutObjectCommand({ ...object, Body: 'second', IfNoneMatch: '*' }));
  await expect(again).rejects.toMatchObject({ $metadata: { httpStatusCode: 412 } });
  await expect(stranger.send(new GetObjectCommand(object))).rejects.toMatchObject({
    $metadata: { httpStatusCode: 403 },
  });
  const { Body } = await client.send(new GetObjectCommand(object));
  expect(await Body?.transformToString()).toBe('first');
}, 600_000);
