import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { AppError, type Dataset, type ObjectStores } from '@headstart/contracts';
import { type DatasetLimits, openDataset, type OpenDatasetOptions } from '@headstart/dataset';
import { datasetConfigShape, datasetLimits } from '@headstart/dataset/config';
import { createStores } from '@headstart/storage';
import { expect } from 'vitest';
import { z } from 'zod';

/** The limits of a worker that sets none. */
export const LIMITS: DatasetLimits = datasetLimits(z.object(datasetConfigShape).parse({}));

/** The real stores, with one folder that file:// may be below. */
export function storesFor(folder: string): ObjectStores {
  return createStores({
    fileRoots: [folder],
    allowedNetworks: [],
    s3: { region: 'us-east-1', forcePathStyle: true },
  });
}

export function uriOf(path: string): string {
  return pathToFileURL(path).href;
}

/** Opens the data set in `data` below `root`, with what most tests want. */
export function openBelow(root: string, options: Partial<OpenDatasetOptions> = {}): Promise<Dataset> {
  return openDataset({
    uri: `${uriOf(join(root, 'data'))}/`,
    stores: storesFor(root),
    workDir: join(root, 'work'),
    limits: LIMITS,
    classes: null,
    validationSplit: 0.2,
    seed: 1,
    knownDir: null,
    signal: new AbortController().signal,
    onProgress: () => undefined,
    ...options,
  });
}

/** The AppError that a promise rejects with. */
export async function errorOf(promise: Promise<unknown>): Promise<AppError> {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(AppError);
  return error as AppError;
}
