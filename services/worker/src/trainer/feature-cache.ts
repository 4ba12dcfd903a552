import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Runtime } from '@headstart/contracts';
import { DECODING } from '@headstart/dataset';
import { createStores, downloadTo, type Stores } from '@headstart/storage';
import type { FeatureCacheOptions, SharedSegments } from '@headstart/training';
import type { Assignment, FromTrainer } from '../trainer-protocol.js';
import { isMissing } from './checkpoints.js';

/** A segment is cut at 64 MB, behind the row that reaches it. */
const MAX_SEGMENT_BYTES = 256 * 1024 * 1024;

export interface FeatureCache {
  options: FeatureCacheOptions;
  close(): void;
}

/** The worker's feature cache: below CACHE_DIR, and in the shared store if there is one. */
export function openFeatureCache(
  assignment: Assignment,
  runtime: Runtime,
  say: (message: FromTrainer) => void,
): FeatureCache {
  const { cacheDir, featureCache } = assignment;
  const shared = featureCache.uri === undefined ? null : openShared(featureCache.uri, assignment.storage);
  return {
    options: {
      directory: join(cacheDir, 'features'),
      maxBytes: featureCache.maxBytes,
      computedBy: { engine: familyOf(runtime), decoding: DECODING },
      shared: shared?.segments ?? null,
      warn: (message, fields) => say({ type: 'log', level: 'warn', message, fields }),
    },
    close: () => shared?.stores.close(),
  };
}

/** Engines, and the kinds of devices they have different kernels for, differ in the last digits. */
function familyOf({ engine, versions }: Runtime): string {
  return versions['cuda'] === undefined ? engine : `${engine} cuda`;
}

function openShared(
  uri: string,
  storage: Assignment['storage'],
): { stores: Stores; segments: SharedSegments } {
  // The operator's own place, like CACHE_DIR: not held to what jobs may read.
  const fileRoots = uri.startsWith('file:') ? [dirname(fileURLToPath(uri))] : [];
  const stores = createStores({ ...storage, fileRoots });
  const store = stores.open(uri);
  return {
    stores,
    segments: {
      async list(prefix) {
        const found: { name: string; sizeBytes: number }[] = [];
        try {
          for await (const { key, sizeBytes } of stores.open(`${uri}${prefix}/`).list())
            found.push({ name: key, sizeBytes });
        } catch (error) {
          // In a directory, unlike in a bucket, a folder that nothing was written to does not exist.
          if (!isMissing(error)) throw error;
        }
        return found;
      },
      async read(path, offset, length) {
        const stream = await store.read(path, { range: { start: offset, end: offset + length - 1 } });
        const chunks: Buffer[] = [];
        for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
        return Buffer.concat(chunks);
      },
      async download(path, file) {
        await downloadTo(stores, store.uriOf(path), file, { maxBytes: MAX_SEGMENT_BYTES });
      },
      async upload(path, file) {
        await store.write(path, { file });
      },
    },
  };
}
