import type { NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';
import type { OnnxBackend } from '../backend.js';

/** What tfjs hands to a kernel: tensors by the names of the op's inputs, and its attributes. */
export interface KernelCall<Inputs = NamedTensorInfoMap, Attributes = NamedAttrMap> {
  inputs: Inputs;
  attrs: Attributes;
  backend: OnnxBackend;
}

/** Inputs that are always there; tfjs's own types leave that open. */
export type Inputs<Name extends string> = Record<Name, TensorInfo>;

/** A kernel on ONNX Runtime. */
export interface OnnxKernel {
  /** tfjs's name for it. */
  name: string;
  /** @returns the result, or null where the cpu backend's kernel is to do it: what does not fit, or is too small. */
  run(call: KernelCall): TensorInfo | TensorInfo[] | null;
}

/** Types a kernel by its inputs and attributes, which tfjs guarantees for its name. */
export function kernel<Inputs, Attributes>(
  name: string,
  run: (call: KernelCall<Inputs, Attributes>) => TensorInfo | TensorInfo[] | null,
): OnnxKernel {
  return { name, run: run as unknown as OnnxKernel['run'] };
}
