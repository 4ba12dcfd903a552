import { backend_util } from '@tensorflow/tfjs-core';
import type { KernelCall } from './kernel.js';

type Shape4D = [number, number, number, number];

/** The sizes of a convolution from a gradient's attributes; null for the layout NCHW. */
export function convolutionOf(
  { attributes }: KernelCall,
  inputShape: number[],
  filterShape: number[],
): backend_util.Conv2DInfo | null {
  if (attributes['dataFormat'] !== 'NHWC') return null;
  return backend_util.computeConv2DInfo(
    inputShape as Shape4D,
    filterShape as Shape4D,
    attributes['strides'] as number | [number, number],
    1,
    attributes['pad'] as Parameters<typeof backend_util.computeConv2DInfo>[4],
    attributes['dimRoundingMode'] as 'floor' | undefined,
  );
}
