import {
  backend_util,
  Conv2DBackpropInput,
  type Conv2DBackpropInputAttrs,
  util,
} from '@tensorflow/tfjs-core';
import { GraphBuilder, type Value } from '../graph/builder.js';
import {
  blockedConvolution,
  type Conv2DInfo,
  type Convolution,
  convolutionOf,
  keyOf,
  plainConvolution,
} from './conv-layout.js';
import { isGeometric, multiplications, pictureBytes } from './conv2d.js';
import { type Inputs, kernel } from './kernel.js';
import { bytesByPlace, inputGradientByPlace, isSmall, partsOf } from './places.js';

type Shape4D = [number, number, number, number];

/**
 * dy [n, H', W', O], filter [kh, kw, I, O] -> dx [n, H, W, I], float32.
 *
 * With strides of 1 it is a convolution of dy with the filter turned by 180 degrees, its channels exchanged; small pictures
 * are done place by place of the filter.
 */
export const conv2DBackpropInput = kernel<Inputs<'dy' | 'filter'>, Conv2DBackpropInputAttrs>(
  Conv2DBackpropInput,
  ({ inputs: { dy, filter }, attrs, backend }) => {
    const { inputShape, strides, pad, dataFormat, dimRoundingMode } = attrs;
    if (dataFormat !== 'NHWC' || dy.dtype !== 'float32' || filter.dtype !== 'float32') return null;
    const info = backend_util.computeConv2DInfo(
      inputShape,
      filter.shape as Shape4D,
      strides,
      1,
      pad,
      dimRoundingMode,
    );
    // A transposed convolution with padding "same" comes with a dy of another size than that.
    if (!isGeometric(info) || !util.arraysEqual(dy.shape, info.outShape)) return null;
    if (!backend.isWorthwhile(multiplications(info))) return null;
    const { blockSize } = backend.settings;
    const method = chooseMethod(info, blockSize);
    if (method === null) return null;
    const filterValues = backend.valuesOf(filter);
    const isByPlace = method === 'places';
    const [dx] = backend.runInChunks(
      `conv2d-input ${info.inHeight}x${info.inWidth} ${keyOf(convolutionOf(info, false))}`,
      () => (isByPlace ? inputGradientByPlace(info) : gradientAsAWhole(info, method, blockSize)),
      [backend.valuesOf(dy)],
      isByPlace ? partsOf(filterValues, info) : [filterValues],
      { size: info.batchSize, pictureBytes: isByPlace ? bytesByPlace(info) : pictureBytes(info) },
    );
    return backend.tensor({ shape: info.inShape, dtype: 'float32' }, dx!);
  },
);

type Whole = 'blocked' | 'plain' | 'transposed';
type Method = 'places' | Whole;

function chooseMethod(info: Conv2DInfo, blockSize: number): Method | null {
  if (isSmall(info)) return 'places';
  const { top, left, bottom, right } = info.padInfo;
  const { filterHeight, filterWidth } = info;
  // Where the padding is wider than the filter the turned convolution would have to crop.
  if (Math.max(top, bottom) >= filterHeight || Math.max(left, right) >= filterWidth) return null;
  if (info.strideHeight !== 1 || info.strideWidth !== 1) return 'transposed';
  const fills = blockSize > 0 && info.inChannels % blockSize === 0 && info.outChannels % blockSize === 0;
  return fills ? 'blocked' : 'plain';
}

function gradientAsAWhole(info: Conv2DInfo, method: Whole, blockSize: number): GraphBuilder {
  const graph = new GraphBuilder();
  const dy = graph.input('dy', 'float32', ['n', info.outHeight, info.outWidth, info.outChannels]);
  const filter = graph.input('filter', 'float32', info.filterShape);
  const dx =
    method === 'transposed'
      ? transposedConvolution(graph, info, dy, filter)
      : turnedConvolution(graph, info, method, blockSize, dy, filter);
  graph.output('dx', 'float32', ['n', info.inHeight, info.inWidth, info.inChannels], dx);
  return graph;
}

function turnedConvolution(
  graph: GraphBuilder,
  info: Conv2DInfo,
  method: 'blocked' | 'plain',
  blockSize: number,
  dy: Value,
  filter: Value,
): Value {
  const { filterHeight, filterWidth, padInfo } = info;
  const turned: Convolution = {
    ...convolutionOf(info, false),
    inChannels: info.outChannels,
    outChannels: info.inChannels,
    pads: [
      filterHeight - 1 - padInfo.top,
      filterWidth - 1 - padInfo.left,
      filterHeight - 1 - padInfo.bottom,
      filterWidth - 1 - padInfo.right,
    ],
  };
  return method === 'blocked'
    ? blockedConvolution(graph, turned, blockSize, dy, turnBlocked(graph, info, blockSize, filter), undefined)
    : plainConvolution(graph, turned, dy, turnPlain(graph, info, filter), undefined);
}

/** filter [kh, kw, I, O] -> [I, O, kh, kw], turned. */
function turnPlain(graph: GraphBuilder, info: Conv2DInfo, filter: Value): Value {
  const { filterHeight: height, filterWidth: width, inChannels, outChannels } = info;
  const positions = turn(
    graph,
    graph.reshape(filter, [height * width, inChannels, outChannels]),
    height * width,
  );
  return graph.reshape(graph.transpose(positions, [1, 2, 0]), [inChannels, outChannels, height, width]);
}

/**
 * filter [kh, kw, I, O] -> [I / b, O / b, kh, kw, b of O, b of I], turned.
 *
 * ONNX Runtime's reordering of channels, with O in the place of a picture's width, brings a block of I to the end; that
 * leaves whole blocks to move, where a transposition would move single values.
 */
function turnBlocked(graph: GraphBuilder, info: Conv2DInfo, blockSize: number, filter: Value): Value {
  const { filterHeight: height, filterWidth: width, inChannels, outChannels } = info;
  const positions = height * width;
  const asPictures = graph.reshape(filter, [positions, inChannels, 1, outChannels]);
  const reordered = graph.node('ReorderInput', [asPictures], { channels_last: 0 }, 'com.microsoft.nchwc');
  const split = graph.reshape(reordered, [
    positions,
    inChannels / blockSize,
    outChannels / blockSize,
    blockSize,
    blockSize,
  ]);
  const moved = graph.transpose(turn(graph, split, positions), [1, 2, 0, 3, 4]);
  return graph.reshape(moved, [inChannels, outChannels, height, width]);
}

/** Turns a filter whose positions are its first axis. */
function turn(graph: GraphBuilder, filter: Value, positions: number): Value {
  const reversed = Int32Array.from({ length: positions }, (_, index) => positions - 1 - index);
  return graph.node('Gather', [filter, graph.indices(reversed)]);
}

/** With strides: ONNX's ConvTranspose, channels first. */
function transposedConvolution(graph: GraphBuilder, info: Conv2DInfo, dy: Value, filter: Value): Value {
  const { top, left, bottom, right } = info.padInfo;
  const restOf = (inSide: number, outSide: number, stride: number, filterSide: number, pads: number) =>
    inSide - (stride * (outSide - 1) + filterSide - pads);
  const dx = graph.node(
    'ConvTranspose',
    [graph.transpose(dy, [0, 3, 1, 2]), graph.transpose(filter, [3, 2, 0, 1])],
    {
      kernel_shape: [info.filterHeight, info.filterWidth],
      strides: [info.strideHeight, info.strideWidth],
      pads: [top, left, bottom, right],
      output_padding: [
        restOf(info.inHeight, info.outHeight, info.strideHeight, info.filterHeight, top + bottom),
        restOf(info.inWidth, info.outWidth, info.strideWidth, info.filterWidth, left + right),
      ],
    },
  );
  return graph.transpose(dx, [0, 2, 3, 1]);
}
