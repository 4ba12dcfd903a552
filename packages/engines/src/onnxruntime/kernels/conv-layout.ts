import type { backend_util } from '@tensorflow/tfjs-core';
import type { GraphBuilder, Value } from '../graph/builder.js';
import type { Attributes } from '../graph/onnx.js';

export type Conv2DInfo = backend_util.Conv2DInfo;

/** A convolution over channels-last values, whatever layout it is done in. */
export interface Convolution {
  inChannels: number;
  outChannels: number;
  kernel: readonly [number, number];
  strides: readonly [number, number];
  dilations: readonly [number, number];
  /** Top, left, bottom, right. */
  pads: readonly [number, number, number, number];
  relu: boolean;
}

export function convolutionOf(info: Conv2DInfo, relu: boolean): Convolution {
  const { top, left, bottom, right } = info.padInfo;
  return {
    inChannels: info.inChannels,
    outChannels: info.outChannels,
    kernel: [info.filterHeight, info.filterWidth],
    strides: [info.strideHeight, info.strideWidth],
    dilations: [info.dilationHeight, info.dilationWidth],
    pads: [top, left, bottom, right],
    relu,
  };
}

/** Names the convolution in the keys of programs. */
export function keyOf(convolution: Convolution): string {
  return JSON.stringify(convolution);
}

/** ONNX Runtime's blocked layout takes inputs as they are below one block, and reorders multiples of 4 channels. */
export function fitsBlocks(blockSize: number, inChannels: number, outChannels: number): boolean {
  return blockSize > 0 && (inChannels < blockSize || inChannels % 4 === 0) && outChannels % 4 === 0;
}

export function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

function attributesOf({ kernel, strides, dilations, pads }: Convolution): Attributes {
  return { kernel_shape: kernel, strides, dilations, pads };
}

/**
 * A convolution in ONNX Runtime's blocked layout NCHWc: channels in blocks of `blockSize`, a block's channels side by
 * side. It is several times as fast as the plain one. The operators are internal to ONNX Runtime.
 * @param x [n, H, W, I]. @param weights blocked (see `blockFilter`), as [O rounded up, I rounded up, kh, kw].
 * @param bias [O] or undefined. @returns [n, H', W', O].
 */
export function blockedConvolution(
  graph: GraphBuilder,
  convolution: Convolution,
  blockSize: number,
  x: Value,
  weights: Value,
  bias: Value | undefined,
): Value {
  const { inChannels, outChannels, relu } = convolution;
  const blocked =
    inChannels < blockSize
      ? graph.transpose(x, [0, 3, 1, 2])
      : graph.node('ReorderInput', [x], { channels_last: 1 }, 'com.microsoft.nchwc');
  const missing = roundUp(outChannels, blockSize) - outChannels;
  const y = graph.node(
    'Conv',
    [blocked, weights, bias && missing > 0 ? graph.pad(bias, [0], [missing]) : bias],
    { ...attributesOf(convolution), ...(relu && { activation: 'Relu' }) },
    'com.microsoft.nchwc',
  );
  return graph.node('ReorderOutput', [y], { channels: outChannels, channels_last: 1 }, 'com.microsoft.nchwc');
}

/**
 * A filter for `blockedConvolution`: [O / b, I / b, kh, kw, b of I, b of O], or [O / b, I, kh, kw, b of O] where I is below
 * one block. Channels are filled up with zeros.
 * @param filter [kh, kw, I, O].
 */
export function blockFilter(
  graph: GraphBuilder,
  { kernel: [height, width], inChannels, outChannels }: Convolution,
  blockSize: number,
  filter: Value,
): Value {
  const isThin = inChannels < blockSize;
  const paddedIn = isThin ? inChannels : roundUp(inChannels, blockSize);
  const paddedOut = roundUp(outChannels, blockSize);
  const padded =
    paddedIn === inChannels && paddedOut === outChannels
      ? filter
      : graph.pad(filter, [0, 0, 0, 0], [0, 0, paddedIn - inChannels, paddedOut - outChannels]);
  const [split, permutation] = isThin
    ? [
        [height, width, inChannels, paddedOut / blockSize, blockSize],
        [3, 2, 0, 1, 4],
      ]
    : [
        [height, width, paddedIn / blockSize, blockSize, paddedOut / blockSize, blockSize],
        [4, 2, 0, 1, 3, 5],
      ];
  return graph.reshape(graph.transpose(graph.reshape(padded, split), permutation), [
    paddedOut,
    paddedIn,
    height,
    width,
  ]);
}

/**
 * The same convolution with ONNX's own operators, channels first.
 * @param x [n, H, W, I]. @param weights [O, I, kh, kw]. @param bias [O] or undefined. @returns [n, H', W', O].
 */
export function plainConvolution(
  graph: GraphBuilder,
  convolution: Convolution,
  x: Value,
  weights: Value,
  bias: Value | undefined,
): Value {
  const y = graph.node('Conv', [graph.transpose(x, [0, 3, 1, 2]), weights, bias], attributesOf(convolution));
  return graph.transpose(convolution.relu ? graph.node('Relu', [y]) : y, [0, 2, 3, 1]);
}
