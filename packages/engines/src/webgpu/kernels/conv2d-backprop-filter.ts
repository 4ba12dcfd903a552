import { type backend_util, Conv2DBackpropFilter, util } from '@tensorflow/tfjs-core';
import { convolutionOf } from './convolution.js';
import type { Kernel } from './kernel.js';
import { elementwise, int32, type Program } from './program.js';

/** Rows and columns of the gradient that a workgroup computes: 4 x 4 by each of its 16 x 16 threads. */
const TILE = 64;
/** Positions whose values a workgroup holds at a time. */
const STEP = 16;
/** Enough to fill a large GPU. */
const WORKGROUPS = 1024;
/** Below that many positions a part is not worth being added up. */
const FEWEST_POSITIONS = 256;

/**
 * The gradient of a convolution's filter as one matrix product: [KH KW I, P] x [P, O] over the P = N OH OW positions of the
 * output, the left one never written out. tfjs's own kernel computes each value in one thread, over all the positions.
 *
 * There are far more positions than values, so the positions are divided into parts, which are added up behind it.
 */
export const conv2dBackpropFilter: Kernel = {
  name: Conv2DBackpropFilter,
  run(call, original) {
    const { inputs, attributes, backend } = call;
    const [x, dy] = [inputs['x']!, inputs['dy']!];
    const filterShape = attributes['filterShape'] as number[];
    const info = convolutionOf(call, x.shape, filterShape);
    // Without a position tfjs's kernel writes the zeros.
    if (!info || util.sizeFromShape(info.outShape) === 0 || util.sizeFromShape(x.shape) === 0)
      return original(call);
    const { program, uniforms } = productOf(info);
    const parts = backend.runWebGPUProgram(program, [x, dy], 'float32', uniforms);
    const sum = elementwise('headstartSumParts', filterShape, {
      inputs: ['parts'],
      code: `
        var sum = 0.0;
        for (var part = 0; part < uniforms.partsShape.x; part++) { sum += parts[part * uniforms.size + index]; }
        result[index] = sum;`,
    });
    const gradient = backend.runWebGPUProgram(sum, [parts], 'float32');
    backend.disposeData(parts.dataId);
    return gradient;
  },
};

/** Its output is [parts, KH KW I, O]. */
function productOf(info: backend_util.Conv2DInfo) {
  const rows = info.filterHeight * info.filterWidth * info.inChannels;
  const positions = info.batchSize * info.outHeight * info.outWidth;
  const tiles: [number, number] = [Math.ceil(rows / TILE), Math.ceil(info.outChannels / TILE)];
  const wanted = Math.ceil(WORKGROUPS / (tiles[0] * tiles[1]));
  const most = Math.ceil(positions / FEWEST_POSITIONS);
  const steps = Math.ceil(positions / Math.min(wanted, most) / STEP);
  const parts = Math.ceil(positions / (steps * STEP));
  const program: Program = {
    shaderKey: 'headstartConv2dBackpropFilter',
    outputShape: [parts, rows, info.outChannels],
    variableNames: ['x', 'dy'],
    uniforms: 'pads : vec2<i32>, strides : vec2<i32>, filterWidth : i32, positions : i32, steps : i32,',
    workgroupSize: [16, 16, 1],
    dispatchLayout: { x: [1], y: [2], z: [0] },
    dispatch: [...tiles, parts],
    getUserCode: () => SHADER,
  };
  const { padInfo, strideHeight, strideWidth, filterWidth } = info;
  const uniforms = [
    int32(padInfo.top, padInfo.left),
    int32(strideHeight, strideWidth),
    int32(filterWidth),
    int32(positions),
    int32(steps),
  ];
  return { program, uniforms };
}

const SHADER = `
  var<workgroup> xs : array<f32, ${STEP * TILE}>;
  var<workgroup> dys : array<f32, ${STEP * TILE}>;

  fn main() {
    let rows = uniforms.outShape.y;
    let columns = uniforms.outShape.z;
    let firstRow = i32(workgroupId.x) * ${TILE};
    let firstColumn = i32(workgroupId.y) * ${TILE};
    let firstPosition = i32(workgroupId.z) * uniforms.steps * ${STEP};

    // What a thread fetches is always of the same row and of the same column.
    let lane = i32(localIndex) % ${TILE};
    let row = firstRow + lane;
    let channel = row % uniforms.xShape.w;
    let tap = row / uniforms.xShape.w;
    let offset = vec2<i32>(tap / uniforms.filterWidth, tap % uniforms.filterWidth) - uniforms.pads;
    let column = firstColumn + lane;

    var sums : array<vec4<f32>, 4>;
    for (var step = 0; step < uniforms.steps; step++) {
      for (var slot = i32(localIndex) / ${TILE}; slot < ${STEP}; slot += ${256 / TILE}) {
        let position = firstPosition + step * ${STEP} + slot;
        var xValue = 0.0;
        var dyValue = 0.0;
        if (position < uniforms.positions) {
          let line = position / uniforms.dyShape.z;
          let picture = line / uniforms.dyShape.y;
          let output = vec2<i32>(line % uniforms.dyShape.y, position % uniforms.dyShape.z);
          let input = output * uniforms.strides + offset;
          if (row < rows && all(input >= vec2<i32>(0)) && all(input < uniforms.xShape.yz)) {
            xValue = x[((picture * uniforms.xShape.y + input.x) * uniforms.xShape.z + input.y) * uniforms.xShape.w + channel];
          }
          if (column < columns) { dyValue = dy[position * columns + column]; }
        }
        xs[slot * ${TILE} + lane] = xValue;
        dys[slot * ${TILE} + lane] = dyValue;
      }
      workgroupBarrier();
      for (var slot = 0; slot < ${STEP}; slot++) {
        let right = slot * ${TILE} + i32(localId.x) * 4;
        let dyValues = vec4<f32>(dys[right], dys[right + 1], dys[right + 2], dys[right + 3]);
        let left = slot * ${TILE} + i32(localId.y) * 4;
        sums[0] += xs[left] * dyValues;
        sums[1] += xs[left + 1] * dyValues;
        sums[2] += xs[left + 2] * dyValues;
        sums[3] += xs[left + 3] * dyValues;
      }
      workgroupBarrier();
    }

    for (var i = 0; i < 4; i++) {
      let outRow = firstRow + i32(localId.y) * 4 + i;
      for (var j = 0; j < 4; j++) {
        let outColumn = firstColumn + i32(localId.x) * 4 + j;
        if (outRow < rows && outColumn < columns) {
          result[(i32(workgroupId.z) * rows + outRow) * columns + outColumn] = sums[i][j];
        }
      }
    }
  }`;
