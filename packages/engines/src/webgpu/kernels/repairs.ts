import {
  ArgMax,
  ArgMin,
  Bincount,
  Cumprod,
  Cumsum,
  Fill,
  getKernel,
  Prod,
  Reverse,
  Sum,
  sumOutType,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import type { Kernel, KernelCall } from './kernel.js';

/** What kernels of tfjs 4.22 get wrong, put right around them. */
export const repairs: readonly Kernel[] = [
  {
    // Its shader compiles for vectors alone.
    name: Bincount,
    run: ({ inputs, attributes, backend }, original) => {
      const flat = (tensor: TensorInfo) => ({ ...tensor, shape: [util.sizeFromShape(tensor.shape)] });
      const [x, weights] = [flat(inputs['x']!), flat(inputs['weights']!)];
      return original({ inputs: { x, weights }, attributes, backend });
    },
  },
  // Backwards, they go on with the program that was compiled for the first length that came.
  ...[Cumsum, Cumprod].map((name): Kernel => ({
    name,
    run: (call, original) => {
      const { inputs, attributes, backend } = call;
      if (!attributes['reverse']) return original(call);
      const turn = (x: TensorInfo) =>
        getKernel(Reverse, 'webgpu').kernelFunc({
          inputs: { x },
          backend,
          attrs: { dims: [attributes['axis'] as number] },
        }) as TensorInfo;
      const x = turn(inputs['x']!);
      const sums = original({ inputs: { x }, attributes: { ...attributes, reverse: false }, backend });
      const result = turn(sums);
      backend.disposeData(x.dataId);
      backend.disposeData(sums.dataId);
      return result;
    },
  })),
  {
    // It divides by the number of summands.
    name: Sum,
    run: (call, original) => {
      const { shape, dtype } = call.inputs['x']!;
      if (util.sizeFromShape(shape) > 0) return original(call);
      return getKernel(Fill, 'webgpu').kernelFunc({
        inputs: {},
        backend: call.backend,
        attrs: { shape: reducedShape(call), value: 0, dtype: sumOutType(dtype) },
      }) as TensorInfo;
    },
  },
  // Prod forgets `keepDims` where it runs on the CPU; the others make a scalar a vector.
  ...[Prod, ArgMax, ArgMin].map((name): Kernel => ({
    name,
    run: (call, original) => ({ ...original(call), shape: reducedShape(call) }),
  })),
];

function reducedShape({ inputs, attributes }: KernelCall): number[] {
  const { axis, keepDims } = attributes as { axis: number | number[]; keepDims?: boolean };
  const { shape } = inputs['x']!;
  const axes = util.parseAxisParam(axis, shape);
  return shape.flatMap((side, index) => (!axes.includes(index) ? [side] : keepDims ? [1] : []));
}
