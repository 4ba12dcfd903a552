import { createRequire } from 'node:module';
import type { Tensor } from 'onnxruntime-node';
import type { Binding } from 'onnxruntime-node/dist/binding.js';
import type { ElementType } from '../graph/onnx.js';

/**
 * onnxruntime-node's native session, whose `run` is synchronous. The package's own `InferenceSession` hides it behind a
 * promise, and tfjs kernels must have their result at once. This reaches into the package, so its version is pinned.
 */

export type TypedArray = Float32Array | Uint8Array | Int32Array;

/** A typed array as a session sees it. */
export interface Operand {
  type: ElementType;
  shape: readonly number[];
  values: TypedArray;
}

/** What the binding says instead of returning a sequence. By then the outputs given to it are written. */
const SEQUENCE_REFUSED = 'Non tensor type is temporarily not supported';

interface Library {
  binding: { InferenceSession: Binding.InferenceSessionConstructor };
  initOrt(): void;
  Tensor: new (type: string, values: TypedArray, shape: readonly number[]) => Tensor;
}

let loaded: Library | undefined;

/**
 * Loaded when it is first needed: importing a module starts nothing.
 * @throws Error where the package has no library for this machine (Intel Macs, musl).
 */
export function library(): Library {
  if (loaded) return loaded;
  const require = createRequire(import.meta.url);
  const { Tensor } = require('onnxruntime-node') as Pick<Library, 'Tensor'>;
  loaded = { ...(require('onnxruntime-node/dist/binding.js') as Omit<Library, 'Tensor'>), Tensor };
  loaded.initOrt();
  return loaded;
}

export class NativeSession {
  private readonly session: Binding.InferenceSession;

  /** @param model bytes of a ModelProto. @throws Error where ONNX Runtime refuses it. */
  constructor(model: Uint8Array, threads: number) {
    this.session = new (library().binding.InferenceSession)();
    this.session.loadModel(model.buffer as ArrayBuffer, model.byteOffset, model.byteLength, {
      executionProviders: ['cpu'],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      // An arena would keep every session's largest temporaries for as long as the session lives.
      enableCpuMemArena: false,
      logSeverityLevel: 3,
      // Every session has its own threads: spinning ones would take the cores from the session that runs.
      extra: { session: { intra_op: { allow_spinning: '0' } } },
    });
  }

  /** Runs the graph. @returns the outputs, each in an array of its own. */
  run(inputs: Record<string, Operand>, outputNames: readonly string[]): TypedArray[] {
    const fetches = Object.fromEntries(outputNames.map((name) => [name, null]));
    const results = this.session.run(toTensors(inputs), fetches, {});
    return outputNames.map((name) => (results[name] as Tensor).data as TypedArray);
  }

  /**
   * Runs a graph whose first output is the empty sequence named `sequence`, into arrays of the caller's.
   *
   * The binding copies every output into a new array, the ones handed to it too. A sequence makes it give up in front
   * of the copies, with the outputs already written.
   */
  runInto(inputs: Record<string, Operand>, sequence: string, outputs: Record<string, Operand>): void {
    try {
      this.session.run(toTensors(inputs), { [sequence]: null, ...toTensors(outputs) }, {});
    } catch (error) {
      if (!(error instanceof Error && error.message.includes(SEQUENCE_REFUSED))) throw error;
    }
  }

  dispose(): void {
    this.session.dispose();
  }
}

function toTensors(operands: Record<string, Operand>): Record<string, Tensor> {
  const { Tensor } = library();
  return Object.fromEntries(
    Object.entries(operands).map(([name, { type, shape, values }]) => [
      name,
      new Tensor(type, values, shape),
    ]),
  );
}
