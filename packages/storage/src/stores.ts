import { basename, dirname } from 'node:path';
import { S3Client } from '@aws-sdk/client-s3';
import { AppError, type ObjectStore, type ObjectStores, printableUri } from '@headstart/contracts';
import type { StorageConfig } from './config.js';
import { pathOfFileUri } from './file-roots.js';
import { FileStore } from './file-store.js';
import { createUrlGuard, type UrlGuard } from './guarded-request.js';
import { HttpsStore } from './https-store.js';
import { parseS3Uri, type S3Clients, S3Store } from './s3-store.js';

export interface Stores extends ObjectStores {
  /** Ends the connections to S3. The stores that were opened are not usable afterwards. */
  close(): void;
}

/**
 * Opens stores by URI. Nothing is connected to before a store is used.
 *
 * Both methods throw AppError at once: `uri_forbidden` for a path outside the allowed roots or a host written as an address that
 * is not allowed, `invalid_request` for what is no URI of a store.
 */
export function createStores(config: StorageConfig): Stores {
  const { endpoint, publicEndpoint = endpoint } = config.s3;
  const s3 = {
    requests: createS3Client(config.s3, endpoint),
    links: createS3Client(config.s3, publicEndpoint),
  };
  const means = { s3, fileRoots: config.fileRoots, guard: createUrlGuard(config.allowedNetworks) };
  return {
    open: (uri) => openFolder(uri, means),
    locate: (uri) => locateObject(uri, means),
    close() {
      s3.requests.destroy();
      s3.links.destroy();
    },
  };
}

interface Means {
  s3: S3Clients;
  fileRoots: string[];
  guard: UrlGuard;
}

function openFolder(uri: string, { s3, fileRoots, guard }: Means): ObjectStore {
  switch (schemeOf(uri)) {
    case 's3': {
      const { bucket, key } = parseS3Uri(uri);
      return new S3Store(s3, bucket, key === '' || key.endsWith('/') ? key : `${key}/`);
    }
    case 'file':
      return new FileStore(pathOfFileUri(uri, fileRoots), fileRoots);
    case 'https': {
      const url = new URL(uri);
      guard.check(url);
      const { origin, pathname } = url;
      return new HttpsStore(`${origin}${pathname}${pathname.endsWith('/') ? '' : '/'}`, guard);
    }
  }
}

function locateObject(uri: string, { s3, fileRoots, guard }: Means): { store: ObjectStore; key: string } {
  switch (schemeOf(uri)) {
    case 's3': {
      const { bucket, key } = parseS3Uri(uri);
      const split = key.lastIndexOf('/') + 1;
      if (split === key.length) throw notAnObject(uri);
      return { store: new S3Store(s3, bucket, key.slice(0, split)), key: key.slice(split) };
    }
    case 'file': {
      const path = pathOfFileUri(uri, fileRoots);
      // The folder of a root itself lies outside: a root is a folder, never an object.
      if (uri.endsWith('/') || fileRoots.includes(path)) throw notAnObject(uri);
      return { store: new FileStore(dirname(path), fileRoots), key: basename(path) };
    }
    case 'https': {
      const url = new URL(uri);
      guard.check(url);
      const { origin, pathname, search } = url;
      const split = pathname.lastIndexOf('/') + 1;
      if (split === pathname.length) throw notAnObject(uri);
      return {
        store: new HttpsStore(origin + pathname.slice(0, split), guard),
        key: pathname.slice(split) + search,
      };
    }
  }
}

function schemeOf(uri: string): 's3' | 'file' | 'https' {
  const url = URL.canParse(uri) ? new URL(uri) : undefined;
  if (url?.username || url?.password)
    throw new AppError('invalid_request', 'A URI must not contain a user name or password. Leave them out.');
  const scheme = url?.protocol;
  if (scheme === 's3:') return 's3';
  if (scheme === 'file:') return 'file';
  if (scheme === 'https:') return 'https';
  throw new AppError(
    'invalid_request',
    `${JSON.stringify(uri)} is not the URI of a store. Use s3://bucket/key, file:///path or https://host/path.`,
  );
}

function notAnObject(uri: string): AppError {
  return new AppError(
    'invalid_request',
    `${printableUri(uri)} names a folder where a single file is needed.`,
  );
}

function createS3Client(
  { region, forcePathStyle }: StorageConfig['s3'],
  endpoint: string | undefined,
): S3Client {
  return new S3Client({
    region,
    forcePathStyle,
    ...(endpoint !== undefined && { endpoint }),
    maxAttempts: 3,
    requestHandler: {
      connectionTimeout: 10_000,
      /** Nothing sent or received. Long enough for a server that joins many parts. */
      socketTimeout: 60_000,
      /** A part sent and answered, over a line of 1 Mbit/s too. */
      requestTimeout: 300_000,
      throwOnRequestTimeout: true,
    },
  });
}
