/** A clock that tests move by hand: sleepers wake in order, and nothing waits for real. */
import type { Clock } from '../../src/observe/clock.ts'

type Sleeper = { readonly at: number; readonly wake: (slept: boolean) => void }

export class ManualClock implements Clock {
  #ms = 0
  #behindMs = 0
  #sleepers: Sleeper[] = []

  constructor(readonly startedAt = Date.UTC(2026, 0, 1)) {}

  now(): number {
    return this.startedAt + this.#ms - this.#behindMs
  }

  /** Sets what the clock on the wall says back; spans are not concerned. */
  setBack(ms: number): void {
    this.#behindMs += ms
  }

  monotonic(): number {
    return this.#ms
  }

  sleep(ms: number, signal?: AbortSignal): Promise<boolean> {
    if (signal?.aborted) return Promise.resolve(false)
    return new Promise((resolve) => {
      const abort = () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper)
        resolve(false)
      }
      const wake = (slept: boolean) => {
        signal?.removeEventListener('abort', abort)
        resolve(slept)
      }
      const sleeper = { at: this.#ms + ms, wake }
      this.#sleepers.push(sleeper)
      signal?.addEventListener('abort', abort, { once: true })
    })
  }

  /** How many sleeps are waiting: lets a test see that the code under test has reached its wait. */
  get sleeping(): number {
    return this.#sleepers.length
  }

  /** Moves time on and wakes whoever is due, earliest first; lets promises settle after each. */
  async advance(ms: number): Promise<void> {
    const until = this.#ms + ms
    for (;;) {
      const next = this.#sleepers.filter((sleeper) => sleeper.at <= until).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.#sleepers = this.#sleepers.filter((sleeper) => sleeper !== next)
      this.#ms = Math.max(this.#ms, next.at)
      next.wake(true)
      await new Promise((resolve) => setImmediate(resolve))
    }
    this.#ms = until
    await new Promise((resolve) => setImmediate(resolve))
  }
}
