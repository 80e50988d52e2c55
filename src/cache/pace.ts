/** So many bytes a second, by the clock: background reading leaves the disk to others. */
import type { Clock } from '../observe/clock.ts'

/** Shorter pauses are saved up: a timer for each small file would cost more than reading it. */
const SHORTEST_PAUSE_MS = 10

export class Pace {
  /** When everything that was read so far has been paid for. */
  #paidMs = 0

  /** @param bytesPerSecond undefined: as fast as it goes */
  constructor(
    private readonly clock: Clock,
    private readonly bytesPerSecond: number | undefined,
  ) {}

  /** Resolves when so many bytes more may be read. @throws the signal's reason */
  async spend(bytes: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (this.bytesPerSecond === undefined) return
    const now = this.clock.monotonic()
    this.#paidMs = Math.max(this.#paidMs, now) + (bytes / this.bytesPerSecond) * 1000
    if (this.#paidMs - now < SHORTEST_PAUSE_MS) return
    await this.clock.sleep(this.#paidMs - now, signal)
    signal?.throwIfAborted()
  }
}
