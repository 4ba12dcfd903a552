import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EpochMetrics } from '@headstart/contracts';
import * as tf from '@tensorflow/tfjs-core';
import { type ArraySpec, type NamedArrays, packArrays, unpackArrays } from './arrays.js';
import type { NamedVariable } from './network.js';

/** Everything a run needs to go on behind an epoch as if it had never stopped. */
export interface Checkpoint {
  /** Epochs finished, over all stages. */
  epoch: number;
  seed: number;
  /** What the head's rescaling multiplies by. */
  featureScale: number;
  /** The weights the stage trains. */
  weights: NamedArrays;
  optimizer: { type: string; step: number; slots: NamedArrays };
  metrics: EpochMetrics[];
  best: BestEpoch | null;
}

/** The stage's best epoch so far. Its weights are kept where early stopping will put them back. */
export interface BestEpoch {
  epoch: number;
  value: number;
  weights: NamedArrays | null;
}

interface StoredFile {
  arrays: ArraySpec[];
  sizeBytes: number;
  sha256: string;
}

/** checkpoint.json. Written last: where it stands the other files are whole. */
interface CheckpointIndex {
  version: 1;
  epoch: number;
  seed: number;
  featureScale: number;
  optimizer: { type: string; step: number };
  best: { epoch: number; value: number } | null;
  metrics: EpochMetrics[];
  files: Record<string, StoredFile>;
}

export const CHECKPOINT_INDEX = 'checkpoint.json';
const WEIGHTS = 'weights.bin';
const OPTIMIZER = 'optimizer.bin';
const BEST = 'best.bin';

/** Name of an epoch's checkpoint folder; names sort as the epochs do. */
export function checkpointName(epoch: number): string {
  return `epoch-${String(epoch).padStart(4, '0')}`;
}

/** Writes a checkpoint's files into a new folder. */
export async function writeCheckpoint(directory: string, checkpoint: Checkpoint): Promise<void> {
  await mkdir(directory, { recursive: true });
  const { epoch, seed, featureScale, optimizer, metrics, best } = checkpoint;
  const files: Record<string, StoredFile> = {};
  const store = async (name: string, arrays: NamedArrays) => {
    const { specs, bytes } = packArrays(arrays);
    await writeFile(join(directory, name), bytes);
    files[name] = { arrays: specs, sizeBytes: bytes.length, sha256: sha256(bytes) };
  };
  await store(WEIGHTS, checkpoint.weights);
  await store(OPTIMIZER, optimizer.slots);
  if (best?.weights) await store(BEST, best.weights);
  const index: CheckpointIndex = {
    version: 1,
    epoch,
    seed,
    featureScale,
    optimizer: { type: optimizer.type, step: optimizer.step },
    best: best && { epoch: best.epoch, value: best.value },
    metrics,
    files,
  };
  await writeFile(join(directory, CHECKPOINT_INDEX), JSON.stringify(index, null, 2));
}

/** Reads a checkpoint back. @throws Error where a file is missing, cut short or altered. */
export async function readCheckpoint(directory: string): Promise<Checkpoint> {
  const index = JSON.parse(await readFile(join(directory, CHECKPOINT_INDEX), 'utf8')) as CheckpointIndex;
  const load = async (name: string): Promise<NamedArrays> => {
    const bytes = await readFile(join(directory, name));
    const expected = index.files[name];
    if (!expected || expected.sha256 !== sha256(bytes))
      throw new Error(`${name} of ${directory} is not what checkpoint.json says it is.`);
    return unpackArrays(expected.arrays, bytes);
  };
  const { epoch, seed, featureScale, optimizer, best } = index;
  return {
    epoch,
    seed,
    featureScale,
    weights: await load(WEIGHTS),
    optimizer: { ...optimizer, slots: await load(OPTIMIZER) },
    metrics: EpochMetrics.array().parse(index.metrics),
    best: best && { ...best, weights: index.files[BEST] ? await load(BEST) : null },
  };
}

/** Copies variables out of the backend. */
export async function readVariables(variables: readonly NamedVariable[]): Promise<NamedArrays> {
  const arrays: NamedArrays = new Map();
  for (const { name, variable } of variables) {
    arrays.set(name, { shape: variable.shape, values: Float32Array.from(await variable.data()) });
  }
  return arrays;
}

/** Puts values into variables. @throws Error if one is missing. */
export function assignVariables(variables: readonly NamedVariable[], arrays: NamedArrays): void {
  for (const { name, variable } of variables) {
    const stored = arrays.get(name);
    if (!stored) throw new Error(`The checkpoint has no weights "${name}".`);
    tf.tidy(() => variable.assign(tf.tensor(stored.values, variable.shape)));
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
