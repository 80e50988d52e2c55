/** A clock that runs faster than the one on the wall: the server keeps its production budgets, and nobody waits for them at length. */
import { type Clock, systemClock } from '../../src/observe/clock.ts'

type Sleeper = { readonly atMs: number; readonly wake: () => void; timer: NodeJS.Timeout }

export class PacedClock implements Clock {
  readonly #startedAt = systemClock.now()
  readonly #sleepers = new Set<Sleeper>()
  #pace = 1
  #passedMs = 0
  #sinceMs = systemClock.monotonic()

  now(): number {
    return this.#startedAt + this.monotonic()
  }

  monotonic(): number {
    return this.#passedMs + (systemClock.monotonic() - this.#sinceMs) * this.#pace
  }

  sleep(ms: number, signal?: AbortSignal): Promise<boolean> {
    if (signal?.aborted) return Promise.resolve(false)
    return new Promise((resolve) => {
      const end = (slept: boolean): void => {
        clearTimeout(sleeper.timer)
        this.#sleepers.delete(sleeper)
        signal?.removeEventListener('abort', abort)
        resolve(slept)
      }
      const abort = (): void => end(false)
      const atMs = this.monotonic() + ms
      const sleeper: Sleeper = { atMs, wake: () => end(true), timer: this.#timer(atMs, () => end(true)) }
      this.#sleepers.add(sleeper)
      signal?.addEventListener('abort', abort, { once: true })
    })
  }

  /** From now on a second takes a `pace`th of one, for those who sleep already too. */
  run(pace: number): void {
    this.#passedMs = this.monotonic()
    this.#sinceMs = systemClock.monotonic()
    this.#pace = pace
    for (const sleeper of this.#sleepers) {
      clearTimeout(sleeper.timer)
      sleeper.timer = this.#timer(sleeper.atMs, sleeper.wake)
    }
  }

  #timer(atMs: number, wake: () => void): NodeJS.Timeout {
    return setTimeout(wake, (atMs - this.monotonic()) / this.#pace).unref()
  }
}
