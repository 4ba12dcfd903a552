import { AppError } from '@headstart/contracts';
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import { engine, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { OutOfMemoryError } from '../out-of-memory.js';
import type { OpenedGpu } from './dawn.js';

const ERROR_SCOPES = ['validation', 'internal', 'out-of-memory'] as const;

/**
 * tfjs's backend, made to fail where it would go on with zeros. A call that WebGPU cannot carry out, for want of memory
 * or for a tensor above the device's limits, throws nothing: what comes after it reads zeros. Here every read also asks
 * whether there were errors since the last one, and after one error no read succeeds.
 */
export class CheckedBackend extends WebGPUBackend {
  private failure: Error | null = null;
  private readonly isForced: boolean;

  /** @param isForced runs every kernel on the GPU; else tfjs computes on the CPU what is small and not on the GPU yet. */
  constructor({ device, info }: OpenedGpu, isForced: boolean) {
    super(device, info);
    this.isForced = isForced;
    this.openScopes();
    void device.lost.then(({ message }) => {
      this.failure ??= new AppError('trainer_crashed', `The GPU was lost: ${firstLine(message)}.`);
    });
  }

  override async read(dataId: object) {
    // Kept until it has been read, even where it is disposed of meanwhile.
    this.incRef(dataId);
    const reading = super.read(dataId);
    // By now all the work before it is on its way.
    const [values] = await Promise.allSettled([reading, this.collectErrors()]);
    if (this.disposeData(dataId)) engine().removeDataId(dataId, this);
    if (this.failure) throw this.failure;
    if (values.status === 'rejected') throw values.reason;
    return values.value;
  }

  override uploadToGPU(dataId: object): void {
    const tensor = this.tensorMap.get(dataId);
    const { shape, dtype } = tensor;
    const bytes = util.sizeFromShape(shape) * util.bytesPerElement(dtype === 'bool' ? 'int32' : dtype);
    const { maxStorageBufferBindingSize: limit } = this.device.limits;
    if (bytes > limit)
      throw new OutOfMemoryError(
        `A tensor of ${bytes} bytes is more than the ${limit} that this GPU takes at once.`,
      );
    if (bytes > 0) super.uploadToGPU(dataId);
    else {
      // No program may be given an empty buffer: one of 4 bytes stands for it, which nobody reads.
      tensor.values ??= util.getTypedArrayFromDType(dtype as 'float32', 0);
      tensor.resource ??= this.bufferManager.acquireBuffer(4, GPUBufferUsage.STORAGE);
    }
  }

  override shouldExecuteOnCPU(inputs: TensorInfo[], sizeThreshold?: number): boolean {
    return !this.isForced && super.shouldExecuteOnCPU(inputs, sizeThreshold);
  }

  private openScopes(): void {
    for (const filter of ERROR_SCOPES) this.device.pushErrorScope(filter);
  }

  /** Memory first: what else failed may have failed for it. */
  private async collectErrors(): Promise<void> {
    const popped = ERROR_SCOPES.map(() => this.device.popErrorScope());
    this.openScopes();
    for (const error of await Promise.all(popped)) if (error) this.failure ??= errorOf(error);
  }
}

function errorOf(error: GPUError): Error {
  const message = firstLine(error.message);
  return error instanceof GPUOutOfMemoryError
    ? new OutOfMemoryError(`The GPU has no memory left: ${message}`)
    : new AppError('internal_error', `WebGPU refused a call: ${message}`, { cause: error, retryable: false });
}

function firstLine(message: string): string {
  return message.split('\n')[0]!.replace(/\.$/, '');
}
