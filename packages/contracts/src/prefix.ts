/** A layer of the frozen prefix, with the weights it keeps. Values are channels last, float32. */
export type PrefixLayer =
  /** 3x3, stride 1, same size, rectified. Kernel [3, 3, I, O], bias [O]. */
  | { type: 'Conv2D'; kernel: Float32Array; bias: Float32Array }
  /** 2x2, stride 2. */
  | { type: 'MaxPooling2D' }
  | { type: 'GlobalAveragePooling2D' | 'GlobalMaxPooling2D' | 'Flatten' };

/** The layers from the input that never change, for an engine that can make one program of them. */
export interface Prefix {
  /** Pixels of a picture's side. */
  inputSize: number;
  /** Subtracted from blue, green and red, in this order; the first layer sees them in this order too. */
  means: readonly [number, number, number];
  layers: readonly PrefixLayer[];
  /** Behind how many of the layers features are taken, in ascending order; the last is all of them. */
  outputs: readonly number[];
}

export interface CompiledPrefix {
  /**
   * @param pictures RGB [size, size, 3] float32, 0..255, each.
   * @returns for each of the prefix's outputs the pictures' features, one behind the other.
   */
  run(pictures: readonly Float32Array[]): Float32Array[];
  /** Frees it; it must not run again. */
  dispose(): void;
}

export type CompilePrefix = (prefix: Prefix) => CompiledPrefix;
