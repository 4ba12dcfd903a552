import { type BackendSettings, type OnnxBackend, pictures } from '../backend.js';
import { GraphBuilder, type Value } from '../graph/builder.js';
import { type Conv2DInfo, convolutionOf, keyOf, roundUp } from './conv-layout.js';
import { pictureBytes } from './conv2d.js';

/**
 * The gradient of a filter [kh, kw, I, O] in ONNX Runtime's blocked layout, whose convolution is faster than its matrix
 * product: with positions in the place of channels, a 1x1 convolution of dy as a picture [1, positions, O, 1] with x as
 * a filter [I, positions, 1, 1] is x transposed times dy.
 *
 * In blocks that filter is [I / b, positions, b]: x itself, its channels in blocks. With dy laid out at the pitch of the
 * padded x, what lies under another place of the filter is the same array some positions further on, and nothing is copied
 * for it. Where dy is padded, such a view takes in whatever follows: zero times that is zero as long as all is finite.
 *
 * It goes piece by piece, and every piece adds to the sum of those before it. Where I is too small to keep every thread busy,
 * dy's channels are shared out among several pictures.
 */

/** Of x or dy in one piece: more does not stay in the caches from one place of the filter to the next. */
const PIECE_BYTES = 4 * 1024 * 1024;

/** Positions with padding over those of dy, at most: multiplying zeros takes as long, and from here on longer than the matrix product. */
const LARGEST_PITCH = 1.4;

/** Blocks of I that one thread takes at a time. Threads share nothing smaller but the pictures of a batch. */
const BLOCKS_OF_A_THREAD = 4;

/** Some pictures as a whole, or rows of dy in one picture. */
interface Piece {
  firstPicture: number;
  pictures: number;
  firstRow: number;
  rows: number;
}

/** How a piece lies in memory, x and dy alike. */
interface Layout {
  blockSize: number;
  pictures: number;
  /** Rows of dy in each picture. */
  outRows: number;
  /** Rows of x under the filter, and rows of zeros above them. */
  inRows: number;
  above: number;
  /** Rows of a picture and positions of a row: zeros between two neighbours serve both. */
  pitch: readonly [rows: number, columns: number];
  /** Positions of all, filled up to whole blocks. */
  positions: number;
  /** Pictures that dy's channels make. */
  shares: number;
}

/**
 * Whether x has whole blocks of channels, the convolution strides of 1 and no padding as wide as the filter, and the picture
 * is large enough for its padding.
 */
export function canBlock(info: Conv2DInfo, blockSize: number): boolean {
  const { top, left, bottom, right } = info.padInfo;
  const { filterHeight, filterWidth, outHeight, outWidth } = info;
  const fits =
    blockSize > 0 &&
    info.inChannels % blockSize === 0 &&
    info.strideHeight === 1 &&
    info.strideWidth === 1 &&
    Math.max(top, bottom) < filterHeight &&
    Math.max(left, right) < filterWidth;
  const rows = outHeight + filterHeight - 1 - Math.min(top, bottom);
  const columns = info.inWidth + Math.max(left, right);
  return fits && rows * columns <= LARGEST_PITCH * outHeight * outWidth;
}

/**
 * @param x [n, H, W, I]. @param dy [n, H', W', O].
 * @returns the gradient [kh, kw, I, O], or null where it is not finite: then a view may have taken in what is not its own.
 */
export function gradientInBlocks(
  backend: OnnxBackend,
  info: Conv2DInfo,
  x: Float32Array,
  dy: Float32Array,
): Float32Array | null {
  const { filterHeight, filterWidth, inChannels, outChannels, batchSize } = info;
  const places = filterHeight * filterWidth;
  const byPlace = (values: Float32Array) =>
    Array.from({ length: places }, (_, place) => pictures(values, places, place, 1));
  const pieces = divide(info);
  const gradient = backend.pool.allocate(places * inChannels * outChannels);
  const sum = pieces.length > 1 ? backend.pool.allocate(gradient.length) : undefined;
  const sums = sum ? byPlace(sum) : [];
  const totals = new Float32Array(places);
  for (const [index, piece] of pieces.entries()) {
    const [isFirst, isLast] = [index === 0, index === pieces.length - 1];
    const layout = layOut(info, backend.settings, piece);
    const key = `${keyOf(convolutionOf(info, false))} ${info.inWidth} ${JSON.stringify(layout)}`;
    const firstRowOfX = Math.max(0, piece.firstRow - info.padInfo.top);
    const xOfPiece = rowsOf(x, batchSize, info.inHeight, piece, firstRowOfX, layout.inRows);
    const dyOfPiece = rowsOf(dy, batchSize, info.outHeight, piece, piece.firstRow, layout.outRows);
    const blocked = backend.pool.allocate(layout.positions * inChannels + furthestView(info, layout));
    const ofPiece = blocked.subarray(0, layout.positions * inChannels);
    blocked.fill(0, ofPiece.length);
    backend.runInto(`filter-gradient blocks ${key}`, () => block(info, layout), [xOfPiece], [ofPiece]);
    backend.runInto(
      `filter-gradient product ${key} ${isFirst} ${isLast}`,
      () => multiply(info, layout, isFirst, isLast),
      [dyOfPiece, ...viewsOf(blocked, info, layout), ...(isFirst ? [] : sums)],
      isLast ? [...byPlace(gradient), totals] : sums,
    );
    backend.pool.release(blocked.buffer);
  }
  if (sum) backend.pool.release(sum.buffer);
  if (totals.every(Number.isFinite)) return gradient;
  backend.pool.release(gradient.buffer);
  return null;
}

function divide(info: Conv2DInfo): Piece[] {
  const { batchSize, outHeight } = info;
  const bytes = pictureBytes(info);
  const count = Math.max(1, Math.floor(PIECE_BYTES / bytes));
  const rows = Math.ceil(outHeight / Math.ceil(bytes / PIECE_BYTES));
  const pieces: Piece[] = [];
  for (let firstPicture = 0; firstPicture < batchSize; firstPicture += count) {
    const ofPictures = { firstPicture, pictures: Math.min(count, batchSize - firstPicture) };
    for (let firstRow = 0; firstRow < outHeight; firstRow += rows)
      pieces.push({ ...ofPictures, firstRow, rows: Math.min(rows, outHeight - firstRow) });
  }
  return pieces;
}

function layOut(info: Conv2DInfo, { blockSize, threads }: BackendSettings, piece: Piece): Layout {
  const { top, left, right } = info.padInfo;
  const underFilter = piece.rows + info.filterHeight - 1;
  const above = Math.max(0, top - piece.firstRow);
  const end = Math.min(info.inHeight, piece.firstRow - top + underFilter);
  const inRows = end - Math.max(0, piece.firstRow - top);
  const below = underFilter - above - inRows;
  const pitch = [underFilter - Math.min(above, below), info.inWidth + Math.max(left, right)] as const;
  const positions = roundUp(piece.pictures * pitch[0] * pitch[1], blockSize);
  const shares = sharesOf(info, blockSize, threads);
  return {
    blockSize,
    pictures: piece.pictures,
    outRows: piece.rows,
    inRows,
    above,
    pitch,
    positions,
    shares,
  };
}

function sharesOf({ inChannels, outChannels }: Conv2DInfo, blockSize: number, threads: number): number {
  const tasks = Math.ceil(inChannels / blockSize / BLOCKS_OF_A_THREAD);
  let shares = Math.ceil(threads / tasks);
  while (outChannels % shares !== 0) shares--;
  return shares;
}

/** Some rows of a piece's picture; all of them where it has several pictures. @param values [n, height, ...]. */
function rowsOf(
  values: Float32Array,
  batchSize: number,
  height: number,
  piece: Piece,
  firstRow: number,
  rows: number,
): Float32Array {
  const ofPictures = pictures(values, batchSize, piece.firstPicture, piece.pictures);
  const rowLength = values.length / batchSize / height;
  const behind = (height - firstRow - rows) * rowLength;
  return ofPictures.subarray(firstRow * rowLength, ofPictures.length - behind);
}

/** x from each place of the filter, row by row. @param blocked [I / b, positions, b] and zeros. */
function viewsOf(
  blocked: Float32Array,
  { filterHeight, filterWidth, inChannels }: Conv2DInfo,
  { pitch, positions, blockSize }: Layout,
): Float32Array[] {
  return Array.from({ length: filterHeight * filterWidth }, (_, place) => {
    const shift = Math.floor(place / filterWidth) * pitch[1] + (place % filterWidth);
    return blocked.subarray(shift * blockSize, shift * blockSize + positions * inChannels);
  });
}

/** In elements. */
function furthestView({ filterHeight, filterWidth }: Conv2DInfo, { pitch, blockSize }: Layout): number {
  return ((filterHeight - 1) * pitch[1] + filterWidth - 1) * blockSize;
}

/** x [n, rows, W, I] -> [I / b, positions, b]. */
function block(info: Conv2DInfo, { pictures, inRows, above, pitch, positions }: Layout): GraphBuilder {
  const { inWidth, inChannels, padInfo } = info;
  const graph = new GraphBuilder();
  const x = graph.input('x', 'float32', [pictures, inRows, inWidth, inChannels]);
  const before = [0, above, padInfo.left, 0];
  const after = [0, pitch[0] - above - inRows, pitch[1] - padInfo.left - inWidth, 0];
  const padded = graph.pad(x, before, after);
  const filled = fillUp(graph, padded, 1, pictures * pitch[0] * pitch[1], positions, inChannels);
  const blocked = graph.node('ReorderInput', [filled], { channels_last: 1 }, 'com.microsoft.nchwc');
  graph.output('blocked', 'float32', [1, inChannels, positions, 1], blocked);
  return graph;
}

/** [..., C] with `positions` in each of n shares -> [n, filled, 1, C], zeros behind them. */
function fillUp(
  graph: GraphBuilder,
  value: Value,
  shares: number,
  positions: number,
  filled: number,
  channels: number,
): Value {
  const flat = graph.reshape(value, [shares, positions, 1, channels]);
  return filled > positions ? graph.pad(flat, [0, 0, 0, 0], [0, filled - positions, 0, 0]) : flat;
}

/**
 * dy [n, rows, W', O], the views of x [I / b, positions, b] and, but for the first piece, the sums -> new sums
 * [shares, I / b, O / shares, b]; at last the gradients [I, O] and the total of each.
 */
function multiply(info: Conv2DInfo, layout: Layout, isFirst: boolean, isLast: boolean): GraphBuilder {
  const { inChannels, outChannels } = info;
  const { positions, shares } = layout;
  const places = Array.from({ length: info.filterHeight * info.filterWidth }, (_, place) => place);
  const sumShape = [shares, inChannels, outChannels / shares, 1];
  const graph = new GraphBuilder();
  const blocked = blockPositions(graph, info, layout);
  const views = places.map((place) => graph.input(`x${place}`, 'float32', [inChannels, positions, 1, 1]));
  const sums = isFirst ? [] : places.map((place) => graph.input(`sum${place}`, 'float32', sumShape));
  const products = views.map((view, place) =>
    graph.node(
      'Conv',
      [blocked, view, undefined, sums[place]],
      { kernel_shape: [1, 1] },
      'com.microsoft.nchwc',
    ),
  );
  for (const [place, product] of products.entries()) {
    if (!isLast) graph.output(`next${place}`, 'float32', sumShape, product);
    else {
      const gradient = unblock(graph, info, shares, product);
      graph.output(`gradient${place}`, 'float32', [inChannels, outChannels], gradient);
    }
  }
  if (isLast) {
    const totals = products.map((product) => graph.reshape(graph.node('ReduceSum', [product]), [1]));
    graph.output('totals', 'float32', [places.length], graph.node('Concat', totals, { axis: 0 }));
  }
  return graph;
}

/** The input dy [n, rows, W', O] -> [shares, positions / b, O / shares, b]. */
function blockPositions(graph: GraphBuilder, info: Conv2DInfo, layout: Layout): Value {
  const { outWidth, outChannels } = info;
  const { pictures, outRows, pitch, positions, shares } = layout;
  const channels = outChannels / shares;
  const dy = graph.input('dy', 'float32', [pictures, outRows, outWidth, outChannels]);
  const rows = graph.reshape(dy, [-1, shares, channels]);
  const shared = shares > 1 ? graph.transpose(rows, [1, 0, 2]) : rows;
  const split = graph.reshape(shared, [shares * pictures, outRows, outWidth, channels]);
  const pitched = graph.pad(split, [0, 0, 0, 0], [0, pitch[0] - outRows, pitch[1] - outWidth, 0]);
  const filled = fillUp(graph, pitched, shares, pictures * pitch[0] * pitch[1], positions, channels);
  const asPictures = graph.reshape(filled, [shares, positions, channels, 1]);
  return graph.node('ReorderInput', [asPictures], { channels_last: 0 }, 'com.microsoft.nchwc');
}

/** [shares, I / b, O / shares, b] -> [I, O]. */
function unblock(
  graph: GraphBuilder,
  { inChannels, outChannels }: Conv2DInfo,
  shares: number,
  sum: Value,
): Value {
  const attributes = { channels: inChannels, channels_last: 0 };
  const shared = graph.node('ReorderOutput', [sum], attributes, 'com.microsoft.nchwc');
  const split = graph.reshape(shared, [shares, inChannels, outChannels / shares]);
  return graph.reshape(shares > 1 ? graph.transpose(split, [1, 0, 2]) : split, [inChannels, outChannels]);
}
