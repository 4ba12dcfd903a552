import type { Picture } from '@headstart/contracts';
import type * as tf from '@tensorflow/tfjs-core';
import { preprocess } from './preprocess.js';

/**
 * Brings a picture to the network's size.
 * @param augment the epoch and the picture's index, which seed its random changes; null leaves it as it is.
 * @returns RGB [size, size, 3] float32, 0..255.
 */
export type LoadPicture = (
  picture: Picture,
  augment: { epoch: number; index: number } | null,
) => Promise<Float32Array>;

/** Whether a picture of the epoch is mirrored left to right: the same answer every time. */
export type DrawFlip = (picture: { epoch: number; index: number }) => boolean;

/** Inputs of the layers behind the cached prefix, for any of a split's pictures. */
export interface BatchSource {
  /** @param indices positions in the split. @param epoch for augmentation; null for none. @returns [B, ...] float32. */
  load(indices: ArrayLike<number>, epoch: number | null): Promise<tf.Tensor>;
}

/** Something read batch by batch, and freed behind each. */
interface Loader<Batch extends { dispose(): void }> {
  load(indices: ArrayLike<number>, epoch: number | null): Promise<Batch>;
}

/** Every batch is decoded anew: nothing is cached, or augmentation changes the pictures in every epoch. */
export function pictureSource(
  pictures: readonly Picture[],
  size: number,
  loadPicture: LoadPicture,
  augmented: boolean,
): BatchSource {
  return {
    async load(indices, epoch) {
      const loaded = Array.from(indices, (index) =>
        loadPicture(pictures[index]!, augmented && epoch !== null ? { epoch, index } : null),
      );
      return preprocess(await Promise.all(loaded), size);
    },
  };
}

/** The positions 0..length-1 in batches, in order. */
export function batchesInOrder(length: number, batchSize: number): Uint32Array[] {
  return splitBatches(
    Uint32Array.from({ length }, (_, index) => index),
    batchSize,
  );
}

/** Cuts an order into batches; the last may be smaller. */
export function splitBatches(order: Uint32Array, batchSize: number): Uint32Array[] {
  return Array.from({ length: Math.ceil(order.length / batchSize) }, (_, i) =>
    order.subarray(i * batchSize, (i + 1) * batchSize),
  );
}

/**
 * Goes through batches with the next one being loaded while the current one is used: decoding runs beside the network.
 * The batches are disposed behind each use.
 * @param end once it is aborted no further batch is begun; the first one always is.
 */
export async function forEachBatch<Batch extends { dispose(): void }>(
  source: Loader<Batch>,
  batches: readonly Uint32Array[],
  epoch: number | null,
  use: (xs: Batch, indices: Uint32Array, step: number) => Promise<void>,
  end?: AbortSignal,
): Promise<void> {
  const load = (step: number) => (step < batches.length ? source.load(batches[step]!, epoch) : undefined);
  let next = load(0);
  for (const [step, indices] of batches.entries()) {
    const xs = await next!;
    next = load(step + 1);
    // A failure to load is thrown where it is awaited; while this batch is in use nobody awaits it yet.
    next?.catch(() => undefined);
    try {
      await use(xs, indices, step);
    } catch (error) {
      (await next?.catch(() => undefined))?.dispose();
      throw error;
    } finally {
      xs.dispose();
    }
    if (end?.aborted) {
      // Not needed any more, so neither is what keeps it from being loaded an error.
      (await next?.catch(() => undefined))?.dispose();
      return;
    }
  }
}
