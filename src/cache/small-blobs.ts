/**
 * Small blobs that were sent lately, in a bounded memory: configs, above all. Without it each costs four trips to the thread pool, more than all
 * the rest of its answer. What is taken in is hashed once more, so that memory never holds what a disk got wrong.
 */
import { Lru } from '../async/lru.ts'
import { type Digest, isDigestOf } from '../oci/digest.ts'
import type { ReadableBlob, ReadBuffers, StoredBlob } from '../store/store.ts'

/** In all: the memory of the process must not depend on what clients ask for. */
const KEPT_BYTES = 8 * 1024 * 1024
const SMALL_BYTES = 64 * 1024

export class SmallBlobs {
  readonly #kept = new Lru<Digest, ReadableBlob>({ capacity: KEPT_BYTES })

  get(digest: Digest): ReadableBlob | undefined {
    return this.#kept.get(digest)
  }

  /** Its bytes, hashed once more; wrong ones are forgotten. */
  rightBytes(digest: Digest): Buffer | undefined {
    const bytes = this.get(digest)?.whole
    if (bytes === undefined || isDigestOf(digest, bytes)) return bytes
    this.forget(digest)
    return undefined
  }

  forget(digest: Digest): void {
    this.#kept.delete(digest)
  }

  isSmall(blob: ReadableBlob): boolean {
    return blob.sizeBytes <= SMALL_BYTES
  }

  /**
   * Reads a small blob and keeps it. It stays open.
   * @returns undefined if its bytes are not what they should be
   */
  async take(digest: Digest, blob: StoredBlob): Promise<ReadableBlob | undefined> {
    const bytes = await readWhole(blob)
    if (!isDigestOf(digest, bytes)) return undefined
    return this.keep(digest, bytes)
  }

  /** Keeps what was verified just now. */
  keep(digest: Digest, bytes: Buffer): ReadableBlob {
    const kept = inMemory(bytes)
    this.#kept.set(digest, kept, Math.max(bytes.byteLength, 1))
    return kept
  }
}

/** All of it, in memory. */
export async function readWhole(blob: StoredBlob): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(blob.sizeBytes)
  let filled = 0
  const inPlace: ReadBuffers = { take: () => bytes.subarray(filled), takeAhead: () => undefined, give: () => {} }
  for await (const chunk of blob.read(0, blob.sizeBytes, inPlace)) filled += chunk.byteLength
  return bytes
}

function inMemory(bytes: Buffer): ReadableBlob {
  return {
    sizeBytes: bytes.byteLength,
    whole: bytes,
    async *read(start, end) {
      if (end > start) yield bytes.subarray(start, end)
    },
    close: () => {},
  }
}
