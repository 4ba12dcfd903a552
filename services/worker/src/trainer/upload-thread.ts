import { parentPort, workerData } from 'node:worker_threads';
import { AppError } from '@headstart/contracts';
import { createStores } from '@headstart/storage';
import { Superseded } from './claim.js';
import { putCheckpoint } from './put-checkpoint.js';
import type { UploadAnswer, UploadRequest, UploadSettings } from './upload.js';

/** The thread of `createUploadThread`: one checkpoint at a time. */
const { storage, outputUri, uriPrefixes, claim } = workerData as UploadSettings;
const store = createStores(storage).within(uriPrefixes).open(outputUri);
const unwanted = new AbortController();

parentPort!.on('message', (request: UploadRequest) => {
  if (request === 'abort') unwanted.abort(new Error('The checkpoint is not wanted any more.'));
  else
    void answer(request.directory, request.folder).then((message) => {
      parentPort!.postMessage(message);
    });
});

async function answer(directory: string, folder: string): Promise<UploadAnswer> {
  try {
    await putCheckpoint(store, claim, directory, folder, unwanted.signal);
    return { type: 'done' };
  } catch (error) {
    if (error instanceof Superseded) return { type: 'superseded', message: error.message };
    return { type: 'failed', error: AppError.from(error).toJobError() };
  }
}
