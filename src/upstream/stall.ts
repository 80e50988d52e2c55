/** Notices a body that stopped coming. One sleep per span of idleness, not one timer per chunk. */
import { OVER } from '../async/over.ts'
import type { Clock } from '../observe/clock.ts'

export class StallWatch {
  readonly #clock: Clock
  readonly #idleMs: number
  readonly #stopped = new AbortController()
  #last: number
  #paused = false

  /** Watches from now on. @param onStall called once, after `idleMs` without `touch` while not paused */
  constructor(clock: Clock, idleMs: number, onStall: () => void) {
    this.#clock = clock
    this.#idleMs = idleMs
    this.#last = clock.monotonic()
    void this.#run(onStall)
  }

  /** Something came. */
  touch(): void {
    this.#last = this.#clock.monotonic()
  }

  /** The reader wants no more for now: the sender is not to blame for what follows. */
  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.touch()
  }

  stop(): void {
    this.#stopped.abort(OVER)
  }

  async #run(onStall: () => void): Promise<void> {
    let waitMs = this.#idleMs
    while (await this.#clock.sleep(waitMs, this.#stopped.signal)) {
      waitMs = this.#paused ? this.#idleMs : this.#last + this.#idleMs - this.#clock.monotonic()
      if (waitMs <= 0) return onStall()
    }
  }
}
