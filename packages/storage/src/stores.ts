import { basename, dirname } from 'node:path';
import { S3Client } from '@aws-sdk/client-s3';
import { AppError, type ObjectStore, type ObjectStores, printableUri } from '@headstart/contracts';
import type { StorageConfig } from './config.js';
import { type FileBound, pathOfFileUri, rootsBound } from './file-roots.js';
import { FileStore } from './file-store.js';
import { createUrlGuard, type UrlGuard } from './guarded-request.js';
import { HttpsStore } from './https-store.js';
import { parseS3Uri, type S3Clients, S3Store } from './s3-store.js';
import { isBelowAny, outsidePrefixes, prefixesBound } from './uri-prefixes.js';

export interface Stores extends ObjectStores {
  /** Ends the connections to S3. The stores that were opened are not usable afterwards. */
  close(): void;
}

/**
 * Opens stores by URI. Nothing is connected to before a store is used.
 *
 * `open` and `locate` throw AppError at once: `uri_forbidden` for what is outside the allowed roots or prefixes and for a host written
 * as an address that is not allowed, `invalid_request` for what is no URI of a store.
 */
export function createStores(config: StorageConfig): Stores {
  const { endpoint, publicEndpoint = endpoint } = config.s3;
  const s3 = {
    requests: createS3Client(config.s3, endpoint),
    links: createS3Client(config.s3, publicEndpoint),
  };
  const { fileRoots } = config;
  const guard = createUrlGuard(config.allowedNetworks);
  return {
    ...storesOf({ s3, guard, fileRoots, prefixes: [], fileBounds: [rootsBound(fileRoots)] }),
    close() {
      s3.requests.destroy();
      s3.links.destroy();
    },
  };
}

interface Means {
  s3: S3Clients;
  guard: UrlGuard;
  fileRoots: readonly string[];
  /** What is opened must be below one of each. */
  prefixes: readonly (readonly string[])[];
  /** The same of paths, of the roots too. */
  fileBounds: readonly FileBound[];
}

function storesOf(means: Means): ObjectStores {
  return {
    open: (uri) => openFolder(uri, means),
    locate: (uri) => locateObject(uri, means),
    within: (prefixes) => storesOf(prefixes === null ? means : bounded(means, prefixes)),
  };
}

function bounded(means: Means, prefixes: readonly string[]): Means {
  return {
    ...means,
    prefixes: [...means.prefixes, prefixes],
    fileBounds: [prefixesBound(prefixes), ...means.fileBounds],
  };
}

function openFolder(uri: string, means: Means): ObjectStore {
  const { s3, guard, fileRoots, fileBounds } = means;
  switch (allowedSchemeOf(uri, means)) {
    case 's3': {
      const { bucket, key } = parseS3Uri(uri);
      return new S3Store(s3, bucket, key === '' || key.endsWith('/') ? key : `${key}/`);
    }
    case 'file':
      return new FileStore(pathOfFileUri(uri, fileRoots), fileBounds);
    case 'https': {
      const url = new URL(uri);
      guard.check(url);
      const { origin, pathname } = url;
      return new HttpsStore(`${origin}${pathname}${pathname.endsWith('/') ? '' : '/'}`, guard);
    }
  }
}

function locateObject(uri: string, means: Means): { store: ObjectStore; key: string } {
  const { s3, guard, fileRoots, fileBounds } = means;
  switch (allowedSchemeOf(uri, means)) {
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
      return { store: new FileStore(dirname(path), fileBounds), key: basename(path) };
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

/** @throws AppError uri_forbidden where the URI is not below one of each of the prefixes. */
function allowedSchemeOf(uri: string, { prefixes }: Means): ReturnType<typeof schemeOf> {
  const scheme = schemeOf(uri);
  if (scheme === 'https') return scheme;
  for (const some of prefixes) if (!isBelowAny(uri, some)) throw outsidePrefixes(uri, some);
  return scheme;
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
