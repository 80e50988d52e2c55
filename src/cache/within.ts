/** Time limits on what an upstream is asked, in the cache's words. */
import { withDeadline } from '../async/deadline.ts'
import type { Clock } from '../observe/clock.ts'
import { UpstreamError } from '../upstream/error.ts'

/**
 * Waits for `work` no longer than `ms`; then its signal aborts, whatever it still does is nobody's concern here, and the result is a timeout.
 * @param what did not happen, for the message: `quay.io did not answer for …`
 * @throws UpstreamError timeout
 */
export function within<T>(clock: Clock, ms: number, what: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  return withDeadline({ clock, ms, timeoutError: () => new UpstreamError('timeout', `${what} within ${ms} ms`) }, work)
}
