/** Below this size a new array costs less than keeping an old one. */
const MINIMUM_BYTES = 256 * 1024;
/** Free buffers kept, at most. */
const FREE_BYTES = 1024 * 1024 * 1024;

/**
 * Buffers of tensors that are gone, for the tensors to come: new memory costs a page fault for every 4 KB of it, and waits
 * for the garbage collector before it is given back.
 *
 * Only buffers that the pool made, and that nobody but the engine's own kernels has seen, come back to it; see
 * `OnnxBackend`.
 */
export class BufferPool {
  /** Free buffers by size, oldest first. */
  private readonly free = new Map<number, ArrayBuffer[]>();
  /** Buffers in use that may come back. */
  private readonly recyclable = new WeakSet<ArrayBufferLike>();
  private freeBytes = 0;
  private isOpen = true;

  /** @returns an array whose elements may have any value. */
  allocate(length: number): Float32Array<ArrayBuffer> {
    const sizeBytes = length * Float32Array.BYTES_PER_ELEMENT;
    if (sizeBytes < MINIMUM_BYTES) return new Float32Array(length);
    const capacity = sizeClass(sizeBytes);
    const kept = this.free.get(capacity)?.pop();
    if (kept) this.freeBytes -= capacity;
    const buffer = kept ?? new ArrayBuffer(capacity);
    this.recyclable.add(buffer);
    return new Float32Array(buffer, 0, length);
  }

  /** Somebody else may hold on to the buffer: it will not come back. */
  expose(buffer: ArrayBufferLike): void {
    this.recyclable.delete(buffer);
  }

  /** Takes a buffer back, where it may be used again. The caller holds no array on it any more. */
  release(buffer: ArrayBufferLike): void {
    if (!this.recyclable.delete(buffer) || !this.isOpen) return;
    const capacity = buffer.byteLength;
    this.freeBytes += capacity;
    const list = this.free.get(capacity) ?? [];
    list.push(buffer as ArrayBuffer);
    // The sizes used last stand last.
    this.free.delete(capacity);
    this.free.set(capacity, list);
    while (this.freeBytes > FREE_BYTES) this.dropOldest();
  }

  /** Frees what it has; what is released from now on is not kept. */
  dispose(): void {
    this.isOpen = false;
    this.free.clear();
    this.freeBytes = 0;
  }

  private dropOldest(): void {
    const [capacity, list] = this.free.entries().next().value!;
    if (list.shift()) this.freeBytes -= capacity;
    if (list.length === 0) this.free.delete(capacity);
  }
}

/** Rounded up by an eighth at most, so that tensors of nearly the same size share. */
function sizeClass(sizeBytes: number): number {
  const step = 2 ** Math.max(12, Math.floor(Math.log2(sizeBytes)) - 3);
  return Math.ceil(sizeBytes / step) * step;
}
