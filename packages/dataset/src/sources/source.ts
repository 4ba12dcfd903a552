import { AppError, type ObjectStores, printableUri } from '@headstart/contracts';
import type { DatasetLimits } from '../limits.js';

export interface Refusal {
  path: string;
  reason: string;
}

export interface LocalFile {
  /** Path below the data set's root, with "/" between the parts. */
  path: string;
  /** Absolute path on this machine, without links. */
  file: string;
}

export interface OpenContext {
  uri: string;
  limits: DatasetLimits;
  stores: ObjectStores;
  /** Folder of this job's attempt; what is brought here lies in `dataset` below it. */
  workDir: string;
  signal: AbortSignal;
  onProgress: OnProgress;
}

export type OnProgress = (progress: {
  done: number;
  total: number | null;
  unit: 'bytes' | 'files' | 'pictures';
}) => void;

/** What of a data set is on this machine. */
export interface Brought {
  files: LocalFile[];
  refused: Refusal[];
  /** Files passed over, by the ignored place they lie in. */
  ignored: Map<string, number>;
}

/** A data set before anything is known of its pictures: its folders and files, wherever they are. */
export interface Source {
  /** Names of the folders directly below `key`, empty ones too. */
  listFolders(key: string): Promise<string[]>;
  /** Brings the files that are wanted to this machine, where they are not yet. */
  bring(isWanted: (path: string) => boolean): Promise<Brought>;
}

export function datasetNotFound(uri: string, cause?: unknown): AppError {
  return new AppError(
    'dataset_not_found',
    `There is no data set at ${printableUri(uri)}. A folder must hold one folder of pictures per class; check the address, and that the pictures are there.`,
    { details: { datasetUri: printableUri(uri) }, cause },
  );
}

/** Runs `work`; where the store says that there is nothing, the answer is that the data set is not there. */
export async function orNotFound<T>(uri: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof AppError && error.code === 'storage_not_found') throw datasetNotFound(uri, error);
    throw error;
  }
}
