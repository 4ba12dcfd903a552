import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EpochMetrics } from '@headstart/contracts';
import * as tf from '@tensorflow/tfjs-core';
import type { z } from 'zod';
import { type NamedArrays, packArrays, unpackArrays } from './arrays.js';
import {
  CheckpointIndex,
  readIndex,
  readWhole,
  sha256,
  type StoredFile,
  writeIndex,
} from './checkpoint-index.js';
import type { NamedVariable } from './network.js';

/** What the steps of an epoch that is not over have come to. */
export type RunningEpoch = NonNullable<CheckpointIndex['running']>;

/** Everything a run needs to go on, behind an epoch or within one, as if it had never stopped. */
export interface Checkpoint {
  /** Epochs finished, over all stages. */
  epoch: number;
  /** Of the epoch behind them; null between two epochs. */
  running: RunningEpoch | null;
  /** Order, augmentation and dropout are all drawn from it, the epoch and the step. */
  seed: number;
  /** Of what the run is made from, see `digestOfRun`. */
  runDigest: string;
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

const WEIGHTS = 'weights.bin';
const OPTIMIZER = 'optimizer.bin';
const BEST = 'best.bin';

const CheckpointState = CheckpointIndex.omit({ version: true, stateDigest: true });

/** Name of a checkpoint's folder: epochs finished, and steps of the next one. Names sort as training goes. */
export function checkpointName(epoch: number, step: number): string {
  return `epoch-${String(epoch).padStart(4, '0')}-step-${String(step).padStart(6, '0')}`;
}

/**
 * Writes a checkpoint's files into a new folder.
 * @returns the digest of the state it holds.
 */
export async function writeCheckpoint(directory: string, checkpoint: Checkpoint): Promise<string> {
  await mkdir(directory, { recursive: true });
  const { epoch, running, seed, runDigest, featureScale, optimizer, metrics, best } = checkpoint;
  const files: Record<string, StoredFile> = {};
  const store = async (name: string, arrays: NamedArrays) => {
    const { specs, bytes } = packArrays(arrays);
    await writeFile(join(directory, name), bytes);
    files[name] = { arrays: specs, sizeBytes: bytes.length, sha256: sha256(bytes) };
  };
  await store(WEIGHTS, checkpoint.weights);
  await store(OPTIMIZER, optimizer.slots);
  if (best?.weights) await store(BEST, best.weights);
  // Parsed, so that the fields stand in the schema's order whoever made them: the digest is over their JSON.
  const state = CheckpointState.parse({
    epoch,
    running,
    seed,
    runDigest,
    featureScale,
    optimizer: { type: optimizer.type, step: optimizer.step },
    best: best && { epoch: best.epoch, value: best.value },
    metrics,
    files,
  });
  const stateDigest = digestOfState(state);
  await writeIndex(directory, { version: 1, ...state, stateDigest });
  return stateDigest;
}

/**
 * Reads a checkpoint back, and the digest of its state.
 * @throws Error where a file is missing, cut short or altered.
 */
export async function readCheckpoint(
  directory: string,
): Promise<{ checkpoint: Checkpoint; stateDigest: string }> {
  const index = await readIndex(directory);
  const load = async (name: string): Promise<NamedArrays> => {
    const bytes = await readWhole(join(directory, name));
    const expected = index.files[name];
    if (!expected || expected.sha256 !== sha256(bytes))
      throw new Error(`${name} of ${directory} is not what checkpoint.json says it is.`);
    return unpackArrays(expected.arrays, bytes);
  };
  const { epoch, running, seed, runDigest, featureScale, optimizer, metrics, best, stateDigest } = index;
  const checkpoint = {
    epoch,
    running,
    seed,
    runDigest,
    featureScale,
    weights: await load(WEIGHTS),
    optimizer: { ...optimizer, slots: await load(OPTIMIZER) },
    metrics,
    best: best && { ...best, weights: index.files[BEST] ? await load(BEST) : null },
  };
  return { checkpoint, stateDigest };
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

/**
 * SHA-256 over weights, optimizer and metrics: two runs that are bit for bit the same have the same one, however often
 * they were stopped. How long it took is no part of it.
 */
function digestOfState(state: z.infer<typeof CheckpointState>): string {
  const { metrics, running, ...rest } = state;
  const withoutTimings = {
    ...rest,
    running: running && { ...running, seconds: null },
    metrics: metrics.map((epoch) => ({ ...epoch, seconds: null, picturesPerSecond: null })),
  };
  return sha256(JSON.stringify(withoutTimings));
}
