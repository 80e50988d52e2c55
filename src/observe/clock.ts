/** Time, handed in: what lives on time takes a `Clock`, so that tests move it by hand. */
import { setTimeout as delay } from 'node:timers/promises'

export type Clock = {
  /** Wall-clock time in ms since 1970: for records and logs. */
  now(): number
  /** Monotonic time in ms: for spans and expiry, unharmed by a clock that is set. */
  monotonic(): number
  /** Resolves to true after `ms`, to false as soon as `signal` aborts. Never rejects. Does not keep the process alive. */
  sleep(ms: number, signal?: AbortSignal): Promise<boolean>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(ms, signal) {
    try {
      await delay(ms, undefined, signal === undefined ? { ref: false } : { ref: false, signal })
      return true
    } catch {
      return false
    }
  },
}
