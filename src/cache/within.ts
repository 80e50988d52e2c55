/** Time limits on what an upstream is asked, by the clock that was handed in. */
import type { Clock } from '../observe/clock.ts'
import { UpstreamError } from '../upstream/error.ts'

/**
 * Waits for `work` no longer than `ms`; then its signal aborts, whatever it still does is nobody's concern here, and the result is a timeout.
 * @param what it was, for the message: `quay.io did not answer for …`
 * @throws UpstreamError timeout
 */
export async function within<T>(clock: Clock, ms: number, what: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const done = new AbortController()
  const late = new AbortController()
  const timeout = new Promise<never>((_resolve, reject) => {
    void clock.sleep(ms, done.signal).then((slept) => {
      if (!slept) return
      const error = new UpstreamError('timeout', `${what} within ${ms} ms`)
      late.abort(error)
      reject(error)
    })
  })
  try {
    return await Promise.race([work(late.signal), timeout])
  } finally {
    done.abort()
  }
}
