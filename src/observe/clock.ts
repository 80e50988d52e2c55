/** Time, handed in: what lives on time takes a `Clock`, so that tests move it by hand. */

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
  /** Not that of `node:timers/promises`: it makes an error, with its stack, for each sleep that is broken off, and nearly all are. */
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve(false)
      const wake = (slept: boolean): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
        resolve(slept)
      }
      const abort = (): void => wake(false)
      const timer = setTimeout(wake, ms, true).unref()
      signal?.addEventListener('abort', abort, { once: true })
    }),
}
