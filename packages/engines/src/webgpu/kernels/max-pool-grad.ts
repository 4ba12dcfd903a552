import { backend_util, MaxPoolGrad } from '@tensorflow/tfjs-core';
import type { Kernel } from './kernel.js';
import { elementwise, int32 } from './program.js';

type Shape4D = [number, number, number, number];

/** The gradient goes to the first maximum of a window, as in TensorFlow; tfjs's own kernel gives it to the last. */
export const maxPoolGrad: Kernel = {
  name: MaxPoolGrad,
  run({ inputs, attributes, backend }) {
    const [dy, input] = [inputs['dy']!, inputs['input']!];
    const info = backend_util.computePool2DInfo(
      input.shape as Shape4D,
      attributes['filterSize'] as number | [number, number],
      attributes['strides'] as number | [number, number],
      1,
      attributes['pad'] as Parameters<typeof backend_util.computePool2DInfo>[4],
      attributes['dimRoundingMode'] as 'floor' | undefined,
    );
    const program = elementwise('headstartMaxPoolGrad', input.shape, {
      inputs: ['x', 'dy'],
      uniforms: 'window : vec2<i32>, strides : vec2<i32>, pads : vec2<i32>,',
      code: SHADER,
    });
    return backend.runWebGPUProgram(program, [input, dy], 'float32', [
      int32(info.filterHeight, info.filterWidth),
      int32(info.strideHeight, info.strideWidth),
      int32(info.padInfo.top, info.padInfo.left),
    ]);
  },
};

/** For every window that a value is in: is it greater than all before it, and not less than any behind? */
const SHADER = `
  let at = getCoordsFromIndex(index);
  let mine = x[index];
  var sum = 0.0;
  for (var row = 0; row < uniforms.window.x; row++) {
    for (var column = 0; column < uniforms.window.y; column++) {
      let shifted = at.yz + uniforms.pads - vec2<i32>(row, column);
      let place = shifted / uniforms.strides;
      if (any(shifted < vec2<i32>(0)) || any(place * uniforms.strides != shifted) || any(place >= uniforms.dyShape.yz)) {
        continue;
      }
      var isFirst = true;
      for (var i = 0; i < uniforms.window.x; i++) {
        for (var j = 0; j < uniforms.window.y; j++) {
          let other = at.yz + vec2<i32>(i - row, j - column);
          if (any(other < vec2<i32>(0)) || any(other >= uniforms.xShape.yz)) { continue; }
          let value = getX(at.x, other.x, other.y, at.w);
          let isBefore = i < row || (i == row && j < column);
          if (value > mine || (isBefore && value == mine)) { isFirst = false; }
        }
      }
      if (isFirst) { sum += getDy(at.x, place.x, place.y, at.w); }
    }
  }
  result[index] = sum;`;
