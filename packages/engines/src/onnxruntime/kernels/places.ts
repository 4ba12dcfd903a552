import { util } from '@tensorflow/tfjs-core';
import { type OnnxBackend, pictures } from '../backend.js';
import { GraphBuilder, type Value } from '../graph/builder.js';
import { type Conv2DInfo, convolutionOf, keyOf } from './conv-layout.js';

/**
 * Convolutions of small pictures, place by place of the filter: the positions that a place of the filter brings together, in
 * front of the convolution and behind it, are the rows of a matrix product with that place's part of the filter. What lies
 * under the filter outside of the picture is in no product: of 2x2 pictures under a 3x3 filter with padding that is more than
 * half, of 4x4 pictures a third.
 */

/**
 * Positions of a picture's output up to which products beat the blocked convolution. That one brings the filter into its
 * layout for every call and reads it anew for every picture, which takes longer than all arithmetic where pictures are
 * smaller than that.
 */
const MOST_POSITIONS = 16;

/** Positions of a picture that meet under one place of the filter, in their order. */
interface Pairs {
  place: number;
  inside: number[];
  outside: number[];
}

type SideName = 'inside' | 'outside';

interface Side {
  positions: number;
  channels: number;
}

/** Whether a convolution and its gradients are done by place. */
export function isSmall(info: Conv2DInfo): boolean {
  return info.outHeight * info.outWidth <= MOST_POSITIONS && pairsOf(info).length > 0;
}

/** Of the largest value in the graphs below, for one picture. */
export function bytesByPlace(info: Conv2DInfo): number {
  const { inside, outside } = sidesOf(info);
  const positions = Math.max(inside.positions, outside.positions);
  const channels = Math.max(inside.channels, outside.channels);
  return info.filterHeight * info.filterWidth * positions * channels * Float32Array.BYTES_PER_ELEMENT;
}

/** The parts [I, O] of a filter [kh, kw, I, O], or of its gradient, that meet a picture. */
export function partsOf(filter: Float32Array, info: Conv2DInfo): Float32Array[] {
  const places = info.filterHeight * info.filterWidth;
  return pairsOf(info).map(({ place }) => pictures(filter, places, place, 1));
}

/** x [n, H, W, I], the parts of the filter and, if there is one, the bias [O] -> y [n, H', W', O]. */
export function convolutionByPlace(info: Conv2DInfo, relu: boolean, hasBias: boolean): GraphBuilder {
  const { positions, channels } = sidesOf(info).outside;
  const graph = new GraphBuilder();
  const sum = sumOverPlaces(graph, info, 'inside', 'outside');
  const biased = hasBias ? graph.node('Add', [sum, graph.input('bias', 'float32', [channels])]) : sum;
  const y = relu ? graph.node('Relu', [biased]) : biased;
  graph.output('y', 'float32', ['n', positions, channels], y);
  return graph;
}

/** dy [n, H', W', O], the parts of the filter -> dx [n, H, W, I]. */
export function inputGradientByPlace(info: Conv2DInfo): GraphBuilder {
  const { positions, channels } = sidesOf(info).inside;
  const graph = new GraphBuilder();
  const dx = sumOverPlaces(graph, info, 'outside', 'inside');
  graph.output('dx', 'float32', ['n', positions, channels], dx);
  return graph;
}

/** The graph's first inputs, values [n, positions, C] of one side and the parts of the filter -> those of the other side. */
function sumOverPlaces(graph: GraphBuilder, info: Conv2DInfo, from: SideName, to: SideName): Value {
  const sides = sidesOf(info);
  const { positions, channels } = sides[from];
  const values = graph.input('values', 'float32', ['n', positions, channels]);
  const pairs = pairsOf(info);
  const products = pairs.map((pair) => {
    const part = graph.input(`part${pair.place}`, 'float32', [sides.inside.channels, sides.outside.channels]);
    const rows = take(graph, values, pair[from], sides[from]);
    return graph.node('Gemm', [rows, part], { transB: from === 'inside' ? 0 : 1 });
  });
  const targets = pairs.map((pair) => pair[to]);
  return addUp(graph, products, targets, sides[to]);
}

/** @param x [n, H, W, I]. @param dy [n, H', W', O]. @returns the gradient of the filter [kh, kw, I, O]. */
export function filterGradientByPlace(
  backend: OnnxBackend,
  info: Conv2DInfo,
  x: Float32Array,
  dy: Float32Array,
): Float32Array {
  const gradient = backend.pool.allocate(util.sizeFromShape(info.filterShape));
  const parts = partsOf(gradient, info);
  // The others meet nothing.
  if (parts.length < info.filterHeight * info.filterWidth) gradient.fill(0);
  const key = `filter-gradient places ${info.inHeight}x${info.inWidth} ${keyOf(convolutionOf(info, false))}`;
  backend.runInto(key, () => multiply(info), [x, dy], parts, { n: info.batchSize });
  return gradient;
}

/** x [n, H, W, I], dy [n, H', W', O] -> the parts of the gradient. */
function multiply(info: Conv2DInfo): GraphBuilder {
  const { inside, outside } = sidesOf(info);
  const graph = new GraphBuilder();
  const x = graph.input('x', 'float32', ['n', inside.positions, inside.channels]);
  const dy = graph.input('dy', 'float32', ['n', outside.positions, outside.channels]);
  for (const pair of pairsOf(info)) {
    const factors = [take(graph, x, pair.inside, inside), take(graph, dy, pair.outside, outside)];
    const part = graph.node('Gemm', factors, { transA: 1 });
    graph.output(`part${pair.place}`, 'float32', [inside.channels, outside.channels], part);
  }
  return graph;
}

/** A picture's, in front of the convolution and behind it. */
function sidesOf(info: Conv2DInfo): Record<SideName, Side> {
  return {
    inside: { positions: info.inHeight * info.inWidth, channels: info.inChannels },
    outside: { positions: info.outHeight * info.outWidth, channels: info.outChannels },
  };
}

/** Row by row of the filter; places that meet no position of the picture are left out. */
function pairsOf(info: Conv2DInfo): Pairs[] {
  const { filterHeight, filterWidth, inHeight, inWidth, outHeight, outWidth, padInfo } = info;
  const all = Array.from({ length: filterHeight * filterWidth }, (_, place) => {
    const pairs: Pairs = { place, inside: [], outside: [] };
    const top = Math.floor(place / filterWidth) * info.dilationHeight - padInfo.top;
    const left = (place % filterWidth) * info.dilationWidth - padInfo.left;
    for (let outside = 0; outside < outHeight * outWidth; outside++) {
      const row = Math.floor(outside / outWidth) * info.strideHeight + top;
      const column = (outside % outWidth) * info.strideWidth + left;
      if (row < 0 || row >= inHeight || column < 0 || column >= inWidth) continue;
      pairs.inside.push(row * inWidth + column);
      pairs.outside.push(outside);
    }
    return pairs;
  });
  return all.filter(({ inside }) => inside.length > 0);
}

/** Some positions of every picture, [n, positions, C] -> [n taken, C]. */
function take(graph: GraphBuilder, value: Value, taken: readonly number[], side: Side): Value {
  const isWhole = taken.length === side.positions;
  const rows = isWhole
    ? value
    : graph.node('Gather', [value, graph.indices(Int32Array.from(taken))], { axis: 1 });
  return graph.reshape(rows, [-1, side.channels]);
}

/**
 * Products [n taken, C] -> [n, positions, C], added up for each position in the order of the places.
 * @param targets the positions that the rows of each product are for.
 */
function addUp(
  graph: GraphBuilder,
  products: readonly Value[],
  targets: readonly (readonly number[])[],
  { positions, channels }: Side,
): Value {
  const rows = Array.from({ length: positions }, (): number[] => []);
  for (const [row, position] of targets.flat().entries()) rows[position]!.push(row);
  const most = Math.max(...rows.map(({ length }) => length));
  const isMissing = rows.some(({ length }) => length < most);
  const byPicture = products.map((product, index) => {
    const values = graph.reshape(product, [-1, targets[index]!.length, channels]);
    // A row of zeros behind the last, for positions that get less than others.
    const isLast = index === products.length - 1;
    return isMissing && isLast ? graph.pad(values, [0, 0, 0], [0, 1, 0]) : values;
  });
  if (products.length === 1 && !isMissing) return byPicture[0]!;
  const zeros = targets.flat().length;
  const indices = rows.flatMap((own) => [...own, ...Array<number>(most - own.length).fill(zeros)]);
  const all = graph.node('Concat', byPicture, { axis: 1 });
  const taken = graph.node('Gather', [all, graph.indices(Int32Array.from(indices))], { axis: 1 });
  const byPosition = graph.reshape(taken, [-1, positions, most, channels]);
  return graph.node('ReduceSum', [byPosition, graph.integers([2])], { keepdims: 0 });
}
