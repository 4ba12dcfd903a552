import { AppError } from '@headstart/contracts';
import type { File, Group } from 'h5wasm';
import type * as h5wasmNode from 'h5wasm/node';
import {
  type BaseWeights,
  type ConvolutionShape,
  pickConvolutions,
  type StoredArray,
} from './base-weights.js';

type H5wasm = typeof h5wasmNode.default;

/**
 * Reads convolutions from a Keras HDF5 file, in any of the layouts Keras has written:
 * a group per layer at the root (weights of Keras 1 and 2, a second group of the layer's name inside in later ones),
 * the same below `model_weights` (whole models), and `layers/<layer or class>/vars/N` (`.weights.h5` of Keras 3, where
 * a convolution may be called by its class and its position: conv2d, conv2d_1, ...).
 *
 * @param path local path of the file. @param uri what the file is called in errors.
 * @throws AppError weights_invalid if it is no HDF5 file or lacks a layer.
 */
export async function readH5Weights(
  path: string,
  uri: string,
  needed: ConvolutionShape[],
): Promise<BaseWeights> {
  const h5wasm = await loadH5Library();
  const file = openFile(h5wasm, path, uri);
  try {
    return pickConvolutions(needed, uri, ({ name }, index) => {
      const classPosition = index === 0 ? 'conv2d' : `conv2d_${index}`;
      const candidates = [name, `model_weights/${name}`, `layers/${name}`, `layers/${classPosition}`];
      const group = candidates
        .map((candidate) => file.get(candidate))
        .find((entity) => entity instanceof h5wasm.Group);
      return group && arraysBelow(group, h5wasm);
    });
  } finally {
    file.close();
  }
}

/** Loads what reads and writes HDF5 files; takes a moment the first time. */
export async function loadH5Library(): Promise<H5wasm> {
  const { default: h5wasm } = await import('h5wasm/node');
  const library = await h5wasm.ready;
  // Without it a file that is none opens with an invalid id, one that the disk has no room for is closed as if it were whole, and the
  // library writes its own stack to stderr.
  library.activate_throwing_error_handler();
  return h5wasm;
}

function openFile(h5wasm: H5wasm, path: string, uri: string): File {
  try {
    return new h5wasm.File(path, 'r');
  } catch (error) {
    throw new AppError(
      'weights_invalid',
      `${uri} is not an HDF5 file that can be read. Give a Keras .h5 file of VGG19's weights.`,
      { cause: error },
    );
  }
}

function arraysBelow(group: Group, h5wasm: H5wasm): StoredArray[] {
  return group.keys().flatMap((key): StoredArray[] => {
    const entity = group.get(key);
    if (entity instanceof h5wasm.Group) return arraysBelow(entity, h5wasm);
    if (!(entity instanceof h5wasm.Dataset)) return [];
    const { shape, value } = entity;
    return shape && value instanceof Float32Array ? [{ shape, values: value }] : [];
  });
}
