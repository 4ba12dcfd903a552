import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu';
import type { backend_util, DataType, TensorInfo } from '@tensorflow/tfjs-core';
import type { GraphBuilder } from './graph/builder.js';
import type { TypedArray } from './runtime/binding.js';
import { BufferPool } from './runtime/buffer-pool.js';
import type { Abilities } from './runtime/probe.js';
import { ProgramCache } from './runtime/program-cache.js';

/** How kernels run; fixed from the start. */
export interface BackendSettings extends Abilities {
  threads: number;
  /** Elements from which on a kernel without much arithmetic is worth a session's overhead. */
  minimumSize: number;
}

/** Something of a shape that a kernel puts out. */
export interface OutputSpec {
  shape: readonly number[];
  dtype: DataType;
}

/**
 * tfjs's cpu backend, where tensors are typed arrays, with kernels on ONNX Runtime over those of the cpu backend.
 *
 * Big float arrays come from a pool. A tensor's array goes back there when the tensor goes, but only as long as nobody
 * outside of this folder has seen it: a cpu kernel may keep a part of it (Slice does), and whoever reads a tensor gets
 * the array itself.
 */
export class OnnxBackend extends MathBackendCPU {
  readonly settings: BackendSettings;
  readonly pool = new BufferPool();
  private readonly programs: ProgramCache;

  constructor(settings: BackendSettings) {
    super();
    this.settings = settings;
    this.programs = new ProgramCache(settings);
  }

  /** A tensor's array, for one of this folder's kernels: it must not outlive the call. */
  valuesOf({ dataId }: TensorInfo): TypedArray {
    return this.data.get(dataId).values as TypedArray;
  }

  /** A tensor with these values. @param values from `run` or the pool. */
  tensor({ shape, dtype }: OutputSpec, values: TypedArray): TensorInfo {
    return this.makeTensorInfo([...shape], dtype, values);
  }

  /**
   * Runs a graph, built when its key is seen for the first time.
   * @param key everything that the graph depends on. @param sizes of the graph's named sides.
   * @returns its outputs' values; they are the caller's.
   */
  run(
    key: string,
    build: () => GraphBuilder,
    inputs: readonly TypedArray[],
    sizes?: Readonly<Record<string, number>>,
  ): TypedArray[] {
    return this.programs.get(key, build).run(
      inputs,
      (type, length) => {
        if (type === 'float32') return this.pool.allocate(length);
        return type === 'int32' ? new Int32Array(length) : new Uint8Array(length);
      },
      sizes,
    );
  }

  /** Whether an amount of work, in elements or multiplications, is worth a session's overhead. */
  isWorthwhile(work: number): boolean {
    return work > 0 && work >= this.settings.minimumSize;
  }

  /** Called before somebody else sees a tensor's array. */
  expose(dataId: object): void {
    const values = this.data.get(dataId)?.values;
    if (ArrayBuffer.isView(values)) this.pool.expose(values.buffer);
  }

  override readSync(dataId: object): backend_util.BackendValues {
    const values = this.data.get(dataId).values;
    // A pooled buffer can be longer than its array, and readers may take the one for the other.
    if (values instanceof Float32Array && values.byteLength !== values.buffer.byteLength)
      return values.slice();
    this.expose(dataId);
    return super.readSync(dataId);
  }

  override disposeData(dataId: object, force = false): boolean {
    const values = this.data.has(dataId) ? this.data.get(dataId).values : undefined;
    const isGone = super.disposeData(dataId, force);
    if (isGone && ArrayBuffer.isView(values)) this.pool.release(values.buffer);
    return isGone;
  }

  override dispose(): void {
    this.programs.dispose();
    this.pool.dispose();
  }
}
