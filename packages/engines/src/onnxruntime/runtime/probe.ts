import { GraphBuilder, SEQUENCE_OUTPUT } from '../graph/builder.js';
import { NativeSession } from './binding.js';
import { Program } from './program.js';

/** Methods that lean on ONNX Runtime's internals, as this machine and this version have them. */
export interface Abilities {
  /** Channels of a block in ONNX Runtime's NCHWc layout: 16 with AVX512, 8 with AVX2; 0 where it cannot be used. */
  blockSize: 0 | 8 | 16;
  /** True where a session writes into arrays of ours. */
  zeroCopy: boolean;
}

/** Tries each method on a small graph, and keeps those whose results are right. */
export function probe(wanted: { nchwc: 'auto' | 'off'; zeroCopy: 'auto' | 'off' }): Abilities {
  return {
    blockSize: wanted.nchwc === 'auto' ? probeBlockSize() : 0,
    zeroCopy: wanted.zeroCopy === 'auto' && probeZeroCopy(),
  };
}

function probeZeroCopy(): boolean {
  const graph = new GraphBuilder();
  graph.output('y', 'float32', [3], graph.node('Neg', [graph.input('x', 'float32', [3])]));
  const y = new Float32Array(3);
  try {
    const session = new NativeSession(graph.encode(true), 1);
    session.runInto(
      { x: { type: 'float32', shape: [3], values: Float32Array.of(1, 2, 3) } },
      SEQUENCE_OUTPUT,
      {
        y: { type: 'float32', shape: [3], values: y },
      },
    );
    session.dispose();
  } catch {
    return false;
  }
  return y.join() === '-1,-2,-3';
}

/**
 * Reorders x [1, 32, 1, 2] with the values 0, 1, 2 ...: behind the first block of channels at the first position stands the
 * second position of channel 0, which is a 1. Then a convolution in that layout is compared with its sum.
 */
function probeBlockSize(): Abilities['blockSize'] {
  try {
    const reorder = new GraphBuilder();
    const x = reorder.input('x', 'float32', [1, 32, 1, 2]);
    const blocked = reorder.node('ReorderInput', [x], { channels_last: 0 }, 'com.microsoft.nchwc');
    reorder.output('y', 'float32', [64], reorder.reshape(blocked, [64]));
    const blockSize = runOnce(
      reorder,
      Float32Array.from({ length: 64 }, (_, index) => index),
    ).indexOf(1);
    if (blockSize !== 8 && blockSize !== 16) return 0;
    return sumsRight(blockSize) ? blockSize : 0;
  } catch {
    return 0;
  }
}

/** A 1x1 convolution of x [1, 1, 2, 2 blocks] channels last, all weights 1: every output is the sum of a position. */
function sumsRight(blockSize: number): boolean {
  const channels = 2 * blockSize;
  const graph = new GraphBuilder();
  const x = graph.input('x', 'float32', [1, 1, 2, channels]);
  const blocked = graph.node('ReorderInput', [x], { channels_last: 1 }, 'com.microsoft.nchwc');
  const weights = graph.floats(new Float32Array(channels * channels).fill(1), [channels, channels, 1, 1]);
  const sum = graph.node('Conv', [blocked, weights], { kernel_shape: [1, 1] }, 'com.microsoft.nchwc');
  const y = graph.node('ReorderOutput', [sum], { channels, channels_last: 1 }, 'com.microsoft.nchwc');
  graph.output('y', 'float32', [1, 1, 2, channels], y);
  const values = Float32Array.from({ length: 2 * channels }, (_, index) => index);
  const sumOf = (row: number) =>
    values.subarray(row * channels, (row + 1) * channels).reduce((total, value) => total + value, 0);
  const result = runOnce(graph, values);
  return result.every((value, index) => value === sumOf(Math.floor(index / channels)));
}

function runOnce(graph: GraphBuilder, x: Float32Array): Float32Array {
  const program = new Program(graph, { threads: 1, zeroCopy: false });
  try {
    return program.run([x], (_, length) => new Float32Array(length))[0] as Float32Array;
  } finally {
    program.dispose();
  }
}
