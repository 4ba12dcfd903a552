import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu';
import type { backend_util, DataType, TensorInfo } from '@tensorflow/tfjs-core';
import type { GraphBuilder } from './graph/builder.js';
import type { TypedArray } from './runtime/binding.js';
import { BufferPool } from './runtime/buffer-pool.js';
import type { Abilities } from './runtime/probe.js';
import type { Allocate } from './runtime/program.js';
import { ProgramCache } from './runtime/program-cache.js';

/** The C library keeps freed memory below 32 MB for the next run; what is larger goes back to the system. */
const CHUNK_BYTES = 16 * 1024 * 1024;

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

  /** The array of a float32 tensor, for one of this folder's kernels: it must not outlive the call. */
  valuesOf({ dataId }: TensorInfo): Float32Array {
    const { values } = this.data.get(dataId);
    // The cpu backend casts a bool to float32 by calling its bytes so.
    return values instanceof Float32Array ? values : Float32Array.from(values as Uint8Array);
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
    const allocate: Allocate = (type, length) => {
      if (type === 'float32') return this.pool.allocate(length);
      return type === 'int32' ? new Int32Array(length) : new Uint8Array(length);
    };
    return this.programs.get(key, build).run(inputs, allocate, sizes);
  }

  /** Runs a graph into arrays, one for each of its outputs. */
  runInto(
    key: string,
    build: () => GraphBuilder,
    inputs: readonly TypedArray[],
    targets: readonly Float32Array[],
    sizes?: Readonly<Record<string, number>>,
  ): void {
    let asked = 0;
    const results = this.programs.get(key, build).run(inputs, () => targets[asked++]!, sizes);
    for (const [index, target] of targets.entries()) {
      // Without zero-copy the result is an array of its own.
      if (results[index] !== target) target.set(results[index]!);
    }
  }

  /**
   * Runs a graph on a few pictures at a time. What ONNX Runtime needs in between is new memory in every run where it is
   * large, which costs more time than all of the arithmetic of a small kernel.
   * @param build a graph of float32 outputs; the sides named 'n' are pictures.
   * @param batched inputs of `batch.size` pictures. @param shared the inputs behind them.
   * @param batch.pictureBytes of the largest value in the graph, for one picture.
   */
  runInChunks(
    key: string,
    build: () => GraphBuilder,
    batched: readonly TypedArray[],
    shared: readonly TypedArray[],
    batch: { size: number; pictureBytes: number },
  ): Float32Array[] {
    const { size, pictureBytes } = batch;
    const program = this.programs.get(key, build);
    const chunk = Math.max(1, Math.floor(CHUNK_BYTES / pictureBytes));
    const wholes: Float32Array[] = [];
    for (let first = 0; first < size; first += chunk) {
      const count = Math.min(chunk, size - first);
      const targetOf = (index: number, length: number) =>
        pictures((wholes[index] ??= this.pool.allocate((length / count) * size)), size, first, count);
      let asked = 0;
      const results = program.run(
        [...batched.map((values) => pictures(values, size, first, count)), ...shared],
        (_, length) => targetOf(asked++, length),
        { n: count },
      );
      for (const [index, result] of results.entries()) {
        const target = targetOf(index, result.length);
        // Without zero-copy the result is an array of its own.
        if (result.buffer !== target.buffer) target.set(result);
      }
    }
    return wholes;
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

  /** Frees every session and every buffer that no tensor holds. */
  override dispose(): void {
    this.programs.dispose();
    this.pool.dispose();
  }
}

/** The part of a batch's values that belongs to `count` pictures. */
export function pictures<Values extends TypedArray>(
  values: Values,
  batchSize: number,
  first: number,
  count: number,
): Values {
  const size = values.length / batchSize;
  return values.subarray(first * size, (first + count) * size) as Values;
}
