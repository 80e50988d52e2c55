/**
 * What clients were served a moment ago, and what they are reading: nothing of that is removed. By a clock that nobody sets, and in memory only; two
 * generations of names, so that each hit costs no more than its entry in a set.
 */
import type { Clock } from '../observe/clock.ts'
import type { Digest } from '../oci/digest.ts'
import type { ReadableBlob, ReadBuffers } from '../store/store.ts'

export class InUse {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #keptMs: number
  readonly #readers = new Map<Digest, number>()
  #young = new Set<Digest>()
  #old = new Set<Digest>()
  #turnedMs: number

  /** @param keptMs how long at least what was served counts as in use; at most twice that */
  constructor(clock: Pick<Clock, 'monotonic'>, keptMs: number) {
    this.#clock = clock
    this.#keptMs = keptMs
    this.#turnedMs = clock.monotonic()
  }

  /** It was served just now. */
  touch(digest: Digest): void {
    this.#turn()
    this.#young.add(digest)
  }

  has(digest: Digest): boolean {
    this.#turn()
    return this.#readers.has(digest) || this.#young.has(digest) || this.#old.has(digest)
  }

  /** The same blob, in use until it is closed, and a while longer. */
  lend(digest: Digest, blob: ReadableBlob): ReadableBlob {
    this.#readers.set(digest, (this.#readers.get(digest) ?? 0) + 1)
    return new LentBlob(blob, () => {
      const left = (this.#readers.get(digest) ?? 1) - 1
      if (left > 0) this.#readers.set(digest, left)
      else this.#readers.delete(digest)
      this.touch(digest)
    })
  }

  #turn(): void {
    const now = this.#clock.monotonic()
    if (now - this.#turnedMs < this.#keptMs) return
    this.#old = now - this.#turnedMs < 2 * this.#keptMs ? this.#young : new Set()
    this.#young = new Set()
    this.#turnedMs = now
  }
}

class LentBlob implements ReadableBlob {
  readonly whole?: Buffer
  readonly cut?: AbortSignal

  constructor(
    private readonly blob: ReadableBlob,
    private readonly onClose: () => void,
  ) {
    if (blob.whole !== undefined) this.whole = blob.whole
    if (blob.cut !== undefined) this.cut = blob.cut
  }

  get sizeBytes(): number {
    return this.blob.sizeBytes
  }

  read(start: number, end: number, buffers: ReadBuffers): AsyncIterable<Buffer> {
    return this.blob.read(start, end, buffers)
  }

  close(): void {
    this.blob.close()
    this.onClose()
  }
}
