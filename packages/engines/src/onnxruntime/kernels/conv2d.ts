import {
  backend_util,
  Conv2D,
  type Conv2DAttrs,
  FusedConv2D,
  type FusedConv2DAttrs,
  type FusedConv2DInputs,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import type { OnnxBackend } from '../backend.js';
import { GraphBuilder } from '../graph/builder.js';
import {
  blockedConvolution,
  blockFilter,
  type Conv2DInfo,
  type Convolution,
  convolutionOf,
  fitsBlocks,
  keyOf,
  plainConvolution,
} from './conv-layout.js';
import { type Inputs, kernel } from './kernel.js';
import { bytesByPlace, convolutionByPlace, isSmall, partsOf } from './places.js';

/** x [n, H, W, I] * filter [kh, kw, I, O] -> [n, H', W', O], float32. */
export const conv2D = kernel<Inputs<'x' | 'filter'>, Conv2DAttrs>(Conv2D, ({ inputs, attrs, backend }) =>
  convolve(backend, inputs.x, inputs.filter, undefined, false, attrs),
);

/** The same, with a bias [O] added and negative values made zero. Other activations and biases are left to the cpu kernel. */
export const fusedConv2D = kernel<FusedConv2DInputs, FusedConv2DAttrs>(
  FusedConv2D,
  ({ inputs: { x, filter, bias }, attrs, backend }) => {
    const { activation } = attrs;
    const isFused = activation === 'relu' || activation === 'linear' || !activation;
    if (!isFused || (bias && util.sizeFromShape(bias.shape) !== filter.shape[3])) return null;
    return convolve(backend, x, filter, bias, activation === 'relu', attrs);
  },
);

function convolve(
  backend: OnnxBackend,
  x: TensorInfo,
  filter: TensorInfo,
  bias: TensorInfo | undefined,
  relu: boolean,
  { strides, pad, dataFormat, dilations, dimRoundingMode }: Conv2DAttrs,
): TensorInfo | null {
  if (dataFormat !== 'NHWC' || x.dtype !== 'float32' || filter.dtype !== 'float32') return null;
  const info = backend_util.computeConv2DInfo(
    x.shape as [number, number, number, number],
    filter.shape as [number, number, number, number],
    strides,
    dilations,
    pad,
    dimRoundingMode,
  );
  if (!isGeometric(info) || !backend.isWorthwhile(multiplications(info))) return null;
  const convolution = convolutionOf(info, relu);
  const filterValues = backend.valuesOf(filter);
  const [y] = backend.runInChunks(
    `conv2d ${info.inHeight}x${info.inWidth} ${bias ? 'bias' : ''} ${keyOf(convolution)}`,
    () =>
      isSmall(info)
        ? convolutionByPlace(info, relu, bias !== undefined)
        : convolutionAsAWhole(info, convolution, bias !== undefined, backend.settings.blockSize),
    [backend.valuesOf(x)],
    [
      ...(isSmall(info) ? partsOf(filterValues, info) : [filterValues]),
      ...(bias ? [backend.valuesOf(bias)] : []),
    ],
    { size: info.batchSize, pictureBytes: isSmall(info) ? bytesByPlace(info) : pictureBytes(info) },
  );
  return backend.tensor({ shape: info.outShape, dtype: 'float32' }, y!);
}

function convolutionAsAWhole(
  info: Conv2DInfo,
  convolution: Convolution,
  hasBias: boolean,
  blockSize: number,
): GraphBuilder {
  const graph = new GraphBuilder();
  const x = graph.input('x', 'float32', ['n', info.inHeight, info.inWidth, info.inChannels]);
  const filter = graph.input('filter', 'float32', info.filterShape);
  const bias = hasBias ? graph.input('bias', 'float32', [info.outChannels]) : undefined;
  const y = fitsBlocks(blockSize, convolution.inChannels, convolution.outChannels)
    ? blockedConvolution(
        graph,
        convolution,
        blockSize,
        x,
        blockFilter(graph, convolution, blockSize, filter),
        bias,
      )
    : plainConvolution(graph, convolution, x, graph.transpose(filter, [3, 2, 0, 1]), bias);
  graph.output('y', 'float32', ['n', info.outHeight, info.outWidth, info.outChannels], y);
  return graph;
}

/**
 * Whether the output has as many positions as the filter fits into the padded input: what ONNX computes by itself. tfjs lets
 * some callers have other sizes, with a padding in numbers or another rounding.
 */
export function isGeometric(info: Conv2DInfo): boolean {
  const { top, left, bottom, right } = info.padInfo;
  const fits = (inSide: number, filterSide: number, dilation: number, stride: number, outSide: number) => {
    const room = inSide - ((filterSide - 1) * dilation + 1);
    return room >= 0 && Math.floor(room / stride) + 1 === outSide;
  };
  const { inHeight, filterHeight, dilationHeight, strideHeight, outHeight } = info;
  const { inWidth, filterWidth, dilationWidth, strideWidth, outWidth } = info;
  return (
    fits(inHeight + top + bottom, filterHeight, dilationHeight, strideHeight, outHeight) &&
    fits(inWidth + left + right, filterWidth, dilationWidth, strideWidth, outWidth)
  );
}

/** Of the convolution, and of each of its gradients. 0 where something is empty. */
export function multiplications(info: Conv2DInfo): number {
  return util.sizeFromShape(info.outShape) * info.filterHeight * info.filterWidth * info.inChannels;
}

/** Bytes of a picture in front of the convolution or behind it, whichever is larger. */
export function pictureBytes(info: Conv2DInfo): number {
  const { inHeight, inWidth, inChannels, outHeight, outWidth, outChannels } = info;
  const elements = Math.max(inHeight * inWidth * inChannels, outHeight * outWidth * outChannels);
  return elements * Float32Array.BYTES_PER_ELEMENT;
}
