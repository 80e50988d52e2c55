/** A link of limited speed that all connections share: who comes first is served first, so each gets its share. */
import { setTimeout as sleep } from 'node:timers/promises'

/** What may go at once after a pause: timers are not exact. */
const burstMs = 20

export class Bucket {
  readonly #bytesPerMs: number
  #freeAtMs = Number.NEGATIVE_INFINITY

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000
  }

  /** Resolves when `bytes` may go. */
  async take(bytes: number): Promise<void> {
    const nowMs = performance.now()
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs - burstMs) + bytes / this.#bytesPerMs
    const earlyMs = this.#freeAtMs - nowMs
    if (earlyMs > 0) await sleep(earlyMs)
  }
}
