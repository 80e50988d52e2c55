/** Runs probes: one at a time, each when it is due, and only as long as they are needed. */
import { OVER } from '../async/over.ts'
import type { Clock } from '../observe/clock.ts'

export type ProberOptions = {
  readonly clock: Clock
  /** Asked before every wait and every probe. */
  readonly isNeeded: () => boolean
  /** Until the next probe is due; no more than 0 if it is. */
  readonly waitMs: () => number
  /** Must not reject, and must leave either no need or a time to wait. */
  readonly probe: () => Promise<void>
}

export class Prober {
  readonly #options: ProberOptions
  #isRunning = false
  #alarm = new AbortController()

  constructor(options: ProberOptions) {
    this.#options = options
  }

  /** To be called when probes may have become needed. */
  start(): void {
    if (!this.#isRunning) void this.#run()
  }

  /** To be called when the wait, or the need, may have become another. */
  reconsider(): void {
    this.#alarm.abort(OVER)
  }

  async #run(): Promise<void> {
    const { clock, isNeeded, waitMs, probe } = this.#options
    this.#isRunning = true
    while (isNeeded()) {
      this.#alarm = new AbortController()
      const ms = waitMs()
      if (ms > 0) await clock.sleep(ms, this.#alarm.signal)
      else await probe()
    }
    this.#isRunning = false
  }
}
