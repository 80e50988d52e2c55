/**
 * The memory that bodies are sent through. A response starts with one small buffer and borrows two big ones from a bounded pool only while its
 * client takes the bytes as fast as they are read: so a fast client gets sendfile's speed, and a stalled one holds 64 KiB.
 */
import type { ReadBuffers } from '../store/store.ts'

const SMALL_BYTES = 64 * 1024
const BIG_BYTES = 1024 * 1024
const BIG_BUFFERS = 16
const SMALL_BUFFERS_KEPT = 64
/** A client that took so much at speed is worth a big buffer; the kernel's own buffers take less than this from anybody (Linux: up to 4 MiB). */
const RAMP_BYTES = 8 * 1024 * 1024
/** A chunk that the socket took within this was taken at speed: 50 MiB/s for a big one. */
const FAST_MS = 20

export class BufferPool {
  readonly #small: Buffer[] = []
  readonly #big: Buffer[] = []
  #bigLent = 0

  small(): Buffer {
    return this.#small.pop() ?? Buffer.allocUnsafeSlow(SMALL_BYTES)
  }

  /** Undefined when all are lent. */
  big(): Buffer | undefined {
    if (this.#bigLent >= BIG_BUFFERS) return undefined
    this.#bigLent++
    return this.#big.pop() ?? Buffer.allocUnsafeSlow(BIG_BYTES)
  }

  give(buffer: Buffer): void {
    if (buffer.byteLength === BIG_BYTES) {
      this.#bigLent--
      this.#big.push(buffer)
    } else if (this.#small.length < SMALL_BUFFERS_KEPT) this.#small.push(buffer)
  }
}

/** The buffers of one response. */
export class ResponseBuffers implements ReadBuffers {
  #sentAtSpeed = 0

  constructor(private readonly pool: BufferPool) {}

  take(): Buffer {
    return this.#fast ? (this.pool.big() ?? this.pool.small()) : this.pool.small()
  }

  takeAhead(): Buffer | undefined {
    return this.#fast ? this.pool.big() : undefined
  }

  give(buffer: Buffer): void {
    this.pool.give(buffer)
  }

  /** Tells how long the socket took for a chunk. */
  sent(bytes: number, tookMs: number): void {
    this.#sentAtSpeed = tookMs <= FAST_MS ? this.#sentAtSpeed + bytes : 0
  }

  get #fast(): boolean {
    return this.#sentAtSpeed >= RAMP_BYTES
  }
}
