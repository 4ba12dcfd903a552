import { basename, join } from 'node:path';
import { AppError, type ObjectStores, type Plan, printableUri, type Progress } from '@headstart/contracts';
import { downloadTo } from '@headstart/storage';
import { type BaseWeights, loadBaseWeights } from '@headstart/training';
import type { Assignment } from '../trainer-protocol.js';
import { imagenetFile } from './imagenet.js';
import { createMeter } from './progress.js';

/** VGG19 with its top is 574 MB. */
const MAX_WEIGHTS_BYTES = 2 * 1024 ** 3;

interface WeightsContext {
  assignment: Assignment;
  stores: ObjectStores;
  signal: AbortSignal;
  report(progress: Progress): void;
}

/** Brings the weights of the plan's base to this machine, and reads them. */
export async function loadWeights(
  { assignment, stores, signal, report }: WeightsContext,
  plan: Plan,
): Promise<BaseWeights> {
  const { workDir, cacheDir, imagenetWeightsUrl } = assignment;
  const meter = createMeter('plan');
  const onProgress = (done: number, total: number | null) => report(meter({ done, total, unit: 'bytes' }));
  let fetched = 0;
  return loadBaseWeights(plan, {
    async fetchFile(uri) {
      const file = join(workDir, 'weights', `${fetched++}-${basename(printableUri(uri))}`);
      try {
        await downloadTo(stores, uri, file, { maxBytes: MAX_WEIGHTS_BYTES, signal, onProgress });
        return file;
      } catch (error) {
        throw weightsNotFound(error, uri);
      }
    },
    imagenetFile: () => imagenetFile(cacheDir, { url: imagenetWeightsUrl, signal, onProgress }),
  });
}

function weightsNotFound(error: unknown, uri: string): unknown {
  if (!(error instanceof AppError) || error.code !== 'storage_not_found') return error;
  const received = printableUri(uri);
  return new AppError(
    'weights_unavailable',
    `There are no weights at ${received}. Check model.weights, or that the worker may read that place.`,
    { cause: error, errors: [{ field: 'model.weights', message: 'There is no such object', received }] },
  );
}
