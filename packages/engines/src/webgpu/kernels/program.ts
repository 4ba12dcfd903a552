import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';

/** A compute shader as tfjs's backend runs it: it adds the bindings, uniforms for the shapes, and what derives coordinates. */
export type Program = Parameters<WebGPUBackend['runWebGPUProgram']>[0];

/** Values of a program's own uniforms, in the order of their declaration. */
export function int32(...data: number[]): { type: string; data: number[] } {
  return { type: 'int32', data };
}

const WORKGROUP = 64;

/** A program whose `main(index)` computes one element of the output. */
export function elementwise(
  shaderKey: string,
  outputShape: number[],
  { inputs, uniforms, code }: { inputs: string[]; uniforms?: string; code: string },
): Program {
  const size = outputShape.reduce((product, side) => product * side, 1);
  return {
    shaderKey,
    outputShape,
    variableNames: inputs,
    ...(uniforms !== undefined && { uniforms }),
    workgroupSize: [WORKGROUP, 1, 1],
    dispatchLayout: { x: outputShape.map((_, axis) => axis) },
    dispatch: [Math.ceil(size / WORKGROUP), 1, 1],
    size: true,
    getUserCode: () => `fn main(index : i32) { if (index < uniforms.size) { ${code} } }`,
  };
}
