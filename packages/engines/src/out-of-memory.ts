/** Of engines that notice it themselves. */
export class OutOfMemoryError extends Error {
  override readonly name = 'OutOfMemoryError';
}

/** How the engines' libraries say that the memory ran out; they have no type of error for it. */
const SIGNS = [
  /^Invalid TF_Status: 8$/m, // TensorFlow's RESOURCE_EXHAUSTED
  /CUDA_ERROR_OUT_OF_MEMORY|CUDNN_STATUS_ALLOC_FAILED/, // CUDA's libraries, quoted by TensorFlow
  /Failed to allocate memory/, // ONNX Runtime
  /^Array buffer allocation failed$/, // V8, for tensors that are typed arrays
];

/** Whether an engine failed because the device, or the machine, had too little memory. */
export function isOutOfMemory(error: unknown): boolean {
  if (error instanceof OutOfMemoryError) return true;
  return error instanceof Error && SIGNS.some((sign) => sign.test(error.message));
}
