import { Conv2D, Conv2DBackpropInput, getKernel, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { convolutionOf } from './convolution.js';
import type { Kernel, KernelCall } from './kernel.js';
import { elementwise } from './program.js';

/**
 * The gradient of a convolution's input, for stride 1: a convolution of dy with the filter turned around, which tfjs has a
 * fast kernel for. Its own kernel of the gradient reads every value from the GPU's memory for every product.
 */
export const conv2dBackpropInput: Kernel = {
  name: Conv2DBackpropInput,
  run(call, original) {
    const { inputs, attributes, backend } = call;
    const [dy, filter] = [inputs['dy']!, inputs['filter']!];
    const inputShape = attributes['inputShape'] as number[];
    const info = convolutionOf(call, inputShape, filter.shape);
    // tfjs also takes sizes that do not come of a convolution.
    if (!info || !util.arraysEqual(dy.shape, info.outShape) || util.sizeFromShape(dy.shape) === 0)
      return original(call);
    const { filterHeight, filterWidth, padInfo } = info;
    const rows = paddingOf(info.inHeight, info.outHeight, filterHeight, padInfo.top);
    const columns = paddingOf(info.inWidth, info.outWidth, filterWidth, padInfo.left);
    const isPlain = info.strideHeight === 1 && info.strideWidth === 1;
    if (!isPlain || [...rows, ...columns].some((count) => count < 0)) return original(call);

    const turned = turn(call, filter);
    const gradient = getKernel(Conv2D, 'webgpu').kernelFunc({
      inputs: { x: dy, filter: turned },
      backend,
      attrs: { strides: 1, dilations: 1, dataFormat: 'NHWC', pad: [[0, 0], rows, columns, [0, 0]] },
    }) as TensorInfo;
    backend.disposeData(turned.dataId);
    return gradient;
  },
};

/** Zeros around dy, before and behind, so that the result has the input's size. */
function paddingOf(inSide: number, outSide: number, filterSide: number, padding: number): [number, number] {
  const before = filterSide - 1 - padding;
  return [before, inSide - outSide + filterSide - 1 - before];
}

/** [KH, KW, I, O] to [KH, KW, O, I], the positions in the opposite order. */
function turn({ backend }: KernelCall, filter: TensorInfo): TensorInfo {
  const [height, width, inChannels, outChannels] = filter.shape as [number, number, number, number];
  const program = elementwise('headstartTurnFilter', [height, width, outChannels, inChannels], {
    inputs: ['weights'],
    code: `
      let to = getCoordsFromIndex(index);
      let last = uniforms.outShape.xy - vec2<i32>(1);
      result[index] = getWeights(last.x - to.x, last.y - to.y, to.w, to.z);`,
  });
  return backend.runWebGPUProgram(program, [filter], 'float32');
}
