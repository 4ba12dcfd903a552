import { type FileHandle, open } from 'node:fs/promises';
import * as tf from '@tensorflow/tfjs-core';

/**
 * Outputs of the frozen prefix on disk: one row of float32 per picture, in the order of the data set.
 *
 * Memory holds a batch at a time, however many pictures there are.
 */
export class FeatureFile {
  private readonly handle: FileHandle;
  private readonly shape: readonly number[];
  private readonly rowLength: number;

  private constructor(handle: FileHandle, shape: readonly number[]) {
    this.handle = handle;
    this.shape = shape;
    this.rowLength = shape.reduce((product, side) => product * side, 1);
  }

  /** Opens a new file. @param shape of one row, without the batch dimension. @throws ErrnoException, ENOSPC among them. */
  static async create(path: string, shape: readonly number[]): Promise<FeatureFile> {
    return new FeatureFile(await open(path, 'w+'), shape);
  }

  /** Writes the rows of a batch, starting at row `first`. @param values [B, ...shape]. */
  async write(first: number, values: Float32Array): Promise<void> {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    let written = 0;
    while (written < bytes.length) {
      const position = first * this.rowLength * Float32Array.BYTES_PER_ELEMENT + written;
      written += (await this.handle.write(bytes, written, bytes.length - written, position)).bytesWritten;
    }
  }

  /** Reads rows in any order. @returns [B, ...shape] float32. */
  async read(rows: ArrayLike<number>): Promise<tf.Tensor> {
    const values = new Float32Array(rows.length * this.rowLength);
    const rowBytes = this.rowLength * Float32Array.BYTES_PER_ELEMENT;
    await Promise.all(
      Array.from(rows, async (row, index) => {
        const { bytesRead } = await this.handle.read(
          new Uint8Array(values.buffer, index * rowBytes, rowBytes),
          0,
          rowBytes,
          row * rowBytes,
        );
        if (bytesRead !== rowBytes) throw new Error(`The feature file ends before row ${row}.`);
      }),
    );
    return tf.tensor(values, [rows.length, ...this.shape]);
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}
