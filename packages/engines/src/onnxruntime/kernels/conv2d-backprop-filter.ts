import {
  backend_util,
  Conv2DBackpropFilter,
  type Conv2DBackpropFilterAttrs,
  util,
} from '@tensorflow/tfjs-core';
import type { OnnxBackend } from '../backend.js';
import type { TypedArray } from '../runtime/binding.js';
import type { Conv2DInfo } from './conv-layout.js';
import { isGeometric, multiplications } from './conv2d.js';
import { canBlock, gradientInBlocks } from './filter-gradient-blocked.js';
import { gradientByGemm } from './filter-gradient-gemm.js';
import { type Inputs, kernel } from './kernel.js';
import { filterGradientByPlace, isSmall } from './places.js';

type Shape4D = [number, number, number, number];

/** x [n, H, W, I], dy [n, H', W', O] -> gradient of the filter [kh, kw, I, O], float32. */
export const conv2DBackpropFilter = kernel<Inputs<'x' | 'dy'>, Conv2DBackpropFilterAttrs>(
  Conv2DBackpropFilter,
  ({ inputs: { x, dy }, attrs, backend }) => {
    const { strides, pad, dataFormat, dimRoundingMode, filterShape } = attrs;
    if (dataFormat !== 'NHWC' || x.dtype !== 'float32' || dy.dtype !== 'float32') return null;
    const info = backend_util.computeConv2DInfo(
      x.shape as Shape4D,
      filterShape,
      strides,
      1,
      pad,
      dimRoundingMode,
    );
    if (!isGeometric(info) || !util.arraysEqual(dy.shape, info.outShape)) return null;
    if (!backend.isWorthwhile(multiplications(info))) return null;
    return backend.tensor(
      { shape: info.filterShape, dtype: 'float32' },
      gradient(backend, info, backend.valuesOf(x), backend.valuesOf(dy)),
    );
  },
);

function gradient(backend: OnnxBackend, info: Conv2DInfo, x: Float32Array, dy: Float32Array): TypedArray {
  if (isSmall(info)) return filterGradientByPlace(backend, info, x, dy);
  const isBlocked = canBlock(info, backend.settings.blockSize);
  return (isBlocked ? gradientInBlocks(backend, info, x, dy) : null) ?? gradientByGemm(backend, info, x, dy);
}
