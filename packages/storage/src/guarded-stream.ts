import { addAbortSignal, pipeline, Transform, type Readable, type TransformCallback } from 'node:stream';
import { AppError, type ObjectReadable } from '@headstart/contracts';

/** How long a store may send nothing while the reader waits for it. */
const IDLE_TIMEOUT_MS = 30_000;

interface GuardOptions {
  /** URI for messages. */
  uri: string;
  /** Announced size; null where the store did not say. */
  sizeBytes: number | null;
  signal?: AbortSignal | undefined;
}

/**
 * The stream that readers get in place of a store's own, which it owns from here on: destroying either destroys both.
 *
 * It ends only if exactly the announced bytes came. Everything else is an error: `storage_unavailable`, or the reason of
 * the signal if that was aborted.
 */
export function guardStream(source: Readable, options: GuardOptions): ObjectReadable {
  const guard = new GuardedStream(options);
  if (options.signal) addAbortSignal(options.signal, guard);
  // The reader learns of errors from the guard itself, so there is nothing left to do here.
  pipeline(source, guard, () => undefined);
  return guard;
}

class GuardedStream extends Transform {
  readonly sizeBytes: number | null;
  readonly #uri: string;
  readonly #signal: AbortSignal | undefined;
  readonly #idleTimer: NodeJS.Timeout;
  #receivedBytes = 0;

  constructor({ uri, sizeBytes, signal }: GuardOptions) {
    super();
    this.sizeBytes = sizeBytes;
    this.#uri = uri;
    this.#signal = signal;
    this.#idleTimer = setTimeout(() => this.#onIdle(), IDLE_TIMEOUT_MS);
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#idleTimer.refresh();
    this.#receivedBytes += chunk.byteLength;
    done(null, chunk);
  }

  override _flush(done: TransformCallback): void {
    const isWhole = this.sizeBytes === null || this.#receivedBytes === this.sizeBytes;
    done(isWhole ? null : new Error('the size is not the announced one'));
  }

  /** Translates here and not in `_destroy`: a stream remembers, and shows to some readers, the error as it came in. */
  override destroy(error?: Error): this {
    clearTimeout(this.#idleTimer);
    return super.destroy(error && this.#translate(error));
  }

  #onIdle(): void {
    // A reader that is slower than the store is no fault of the store.
    const waitsForReader = this.readableLength > 0 || this.writableNeedDrain || this.writableFinished;
    if (waitsForReader) this.#idleTimer.refresh();
    else this.destroy(new Error(`nothing came for ${IDLE_TIMEOUT_MS / 1000} s`));
  }

  #translate(cause: Error): Error {
    if (cause instanceof AppError) return cause;
    if (this.#signal?.aborted) return this.#signal.reason as Error;
    const total = this.sizeBytes === null ? '' : ` of ${this.sizeBytes}`;
    return new AppError(
      'storage_unavailable',
      `Reading ${this.#uri} broke off after ${this.#receivedBytes}${total} bytes: ${cause.message}. Try again.`,
      { cause },
    );
  }
}
