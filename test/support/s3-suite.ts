import { randomBytes } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3';
import { createStores, type Stores } from '@headstart/storage';
import { afterAll, beforeAll, beforeEach, vi } from 'vitest';
import { startS3, type S3Server } from './s3.js';

export const MIB = 1024 * 1024;

/**
 * An S3 server for the tests of a file, which is there from the first test on, with its credentials in the environment; without
 * one every test is skipped, with the reason. Call it once, at the top of the file.
 */
export function useS3() {
  let server: S3Server | { skip: string };
  let folder: string;
  /** Everything that a test opened and that is closed at the end. */
  const closers: (() => void)[] = [];

  beforeAll(async () => {
    server = await startS3();
    folder = await mkdtemp(join(tmpdir(), 'headstart-storage-s3-'));
  });

  afterAll(async () => {
    for (const close of closers) close();
    if ('stop' in server) await server.stop();
    await rm(folder, { recursive: true });
  });

  beforeEach(({ skip, onTestFinished }) => {
    if ('skip' in server) return skip(server.skip);
    vi.stubEnv('AWS_ACCESS_KEY_ID', server.accessKeyId);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', server.secretAccessKey);
    onTestFinished(() => void vi.unstubAllEnvs());
  });

  function running(): S3Server {
    if ('skip' in server) throw new Error(server.skip);
    return server;
  }

  function connect(endpoint = running().endpoint, publicEndpoint?: string): Stores {
    const s3 = {
      endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      ...(publicEndpoint && { publicEndpoint }),
    };
    const stores = createStores({ fileRoots: [], allowedNetworks: [], s3 });
    closers.push(() => stores.close());
    return stores;
  }

  return {
    running,
    connect,
    /** A temporary folder of the file's. */
    folder: () => folder,
    /** A folder of the bucket that no other test uses. */
    openOwn(endpoint?: string) {
      const stores = connect(endpoint);
      return { stores, store: stores.open(`s3://${running().bucket}/${randomBytes(6).toString('hex')}`) };
    },
    /** Where a proxy leads to. */
    target() {
      const { hostname, port } = new URL(running().endpoint);
      return { host: hostname, port: Number(port) };
    },
    async randomFile(name: string, sizeMib: number): Promise<string> {
      const file = join(folder, name);
      const handle = await open(file, 'w');
      for (let written = 0; written < sizeMib; written += 1) await handle.write(randomBytes(MIB));
      await handle.close();
      return file;
    },
    /** True if the bucket holds parts of uploads that never ended. */
    async hasUploads(): Promise<boolean> {
      const { endpoint, bucket, accessKeyId, secretAccessKey } = running();
      const credentials = { accessKeyId, secretAccessKey };
      const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
      try {
        const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
        return Uploads.length > 0;
      } finally {
        client.destroy();
      }
    },
  };
}
