import type { IncomingMessage } from 'node:http';
import type { JobRequestInput, ObjectStore } from '@headstart/contracts';
import { pngs } from './pictures.js';

/** The phases in which a job asks its object store for something, and `queued`, behind which it asks whether it may start. */
export const STORE_PHASES = ['queued', 'dataset', 'features', 'training', 'upload'] as const;
export type StorePhase = (typeof STORE_PHASES)[number];

/** A small job that has everything in a bucket, in a folder of its own. */
export interface StoreJob {
  request: Partial<JobRequestInput>;
  /** Whether a request of the trainer is about this job; a shared feature cache is everyone's. */
  isAbout(request: IncomingMessage): boolean;
  /** Whether it is one that belongs to the phase. */
  isOf(phase: StorePhase, request: IncomingMessage): boolean;
}

let drawn = 0;

/** Draws pictures that no other job has, so that their features are not there yet. @param store the test's own folder. */
export async function makeStoreJob(store: ObjectStore, name: string): Promise<StoreJob> {
  const files = { ...(await pngs('cold', 6, (drawn += 6))), ...(await pngs('warm', 6, (drawn += 6))) };
  for (const [path, bytes] of Object.entries(files)) await store.write(`${name}/pictures/${path}`, bytes);
  const folder = store.uriOf(`${name}/`);
  const key = folder.replace(/^s3:\/\/[^/]+\//, '');
  const asked = ({ url = '' }: IncomingMessage) => decodeURIComponent(url);
  return {
    request: {
      datasetUri: `${folder}pictures/`,
      output: { uri: `${folder}jobs/` },
      model: { head: [] },
      training: { epochs: 30 },
    },
    isAbout: (request) => asked(request).includes(key),
    isOf(phase, request) {
      const url = asked(request);
      switch (phase) {
        case 'queued':
          return url.includes(`${key}jobs/`);
        case 'dataset':
          return url.includes(`${key}pictures/`);
        case 'features':
          return url.includes('feature-cache/');
        case 'training':
          return request.method === 'PUT' && url.includes('/checkpoints/') && url.includes(key);
        case 'upload':
          return request.method === 'PUT' && url.includes('/model/') && url.includes(key);
      }
    },
  };
}
