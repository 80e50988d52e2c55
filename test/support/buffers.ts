/** Buffers to read into that catch every misuse: what comes back is poisoned and used again, and what never comes back is counted. */
import assert from 'node:assert/strict'
import type { ReadBuffers } from '../../src/store/store.ts'

const POISON = 0xdd

export type PoisonedBuffersOptions = {
  readonly sizeBytes?: number
  /** Size of the buffers lent for reading ahead; without it none are lent. */
  readonly aheadBytes?: number
}

export class PoisonedBuffers implements ReadBuffers {
  readonly #free: Buffer[] = []
  readonly #lent = new Set<Buffer>()
  /** How often a buffer was lent, and how often for reading ahead. */
  taken = 0
  takenAhead = 0
  /** The most that were lent at the same time. */
  peak = 0

  constructor(private readonly options: PoisonedBuffersOptions = {}) {}

  take(): Buffer {
    this.taken++
    return this.#lend(this.options.sizeBytes ?? 16)
  }

  takeAhead(): Buffer | undefined {
    const { aheadBytes } = this.options
    if (aheadBytes === undefined) return undefined
    this.takenAhead++
    return this.#lend(aheadBytes)
  }

  give(buffer: Buffer): void {
    assert.ok(this.#lent.delete(buffer), 'a buffer came back that was not lent: foreign, or given twice')
    buffer.fill(POISON)
    this.#free.push(buffer)
  }

  get outstanding(): number {
    return this.#lent.size
  }

  #lend(sizeBytes: number): Buffer {
    const last = this.#free.findLastIndex((buffer) => buffer.byteLength === sizeBytes)
    const buffer = last < 0 ? Buffer.alloc(sizeBytes, POISON) : (this.#free.splice(last, 1)[0] as Buffer)
    this.#lent.add(buffer)
    this.peak = Math.max(this.peak, this.#lent.size)
    return buffer
  }
}

/** All bytes of some chunks, copied as they come, so that it does not matter what becomes of them. */
export async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const copies: Uint8Array[] = []
  for await (const chunk of chunks) copies.push(Uint8Array.from(chunk))
  return Buffer.concat(copies)
}
