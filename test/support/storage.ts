import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { AppError, type ObjectInfo, type ObjectStore } from '@headstart/contracts';
import { createStores } from '@headstart/storage';
import { onTestFinished } from 'vitest';

/** Where the servers of tests are. */
export const LOOPBACK = ['127.0.0.0/8', '::1/128'] as const;

const NO_S3 = { region: 'us-east-1', forcePathStyle: false };

/** A temporary folder with an allowed root `data` in it; both are gone after the test. */
export async function fileSandbox({ allowedNetworks = [...LOOPBACK] }: { allowedNetworks?: string[] } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'headstart-storage-'));
  const root = join(folder, 'data');
  await mkdir(root);
  const stores = createStores({ fileRoots: [root], allowedNetworks, s3: NO_S3 });
  onTestFinished(async () => {
    stores.close();
    await rm(folder, { recursive: true });
  });
  return { folder, root, stores, store: stores.open(pathToFileURL(root).href) };
}

/** The AppError that a call rejects with or throws. */
export async function failureOf(call: () => unknown): Promise<AppError> {
  try {
    await call();
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error('it was expected to fail');
}

export async function listAll(store: ObjectStore): Promise<ObjectInfo[]> {
  const objects: ObjectInfo[] = [];
  for await (const object of store.list()) objects.push(object);
  return objects;
}

export async function keysOf(store: ObjectStore): Promise<string[]> {
  return (await listAll(store)).map(({ key }) => key);
}
