/** Time limits on what an upstream is asked, in the cache's words. */
import { withDeadline } from '../async/deadline.ts'
import { OVER } from '../async/over.ts'
import type { Clock } from '../observe/clock.ts'
import { UpstreamError } from '../upstream/error.ts'
import type { Upstream } from '../upstream/upstream.ts'

/**
 * Waits for `work` no longer than `ms`; then its signal aborts, whatever it still does is nobody's concern here, and the result is a timeout.
 * @param what did not happen, for the message: `quay.io did not answer for …`
 * @throws UpstreamError timeout
 */
export function within<T>(clock: Clock, ms: number, what: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  return withDeadline({ clock, ms, timeoutError: () => new UpstreamError('timeout', `${what} within ${ms} ms`) }, work)
}

/** Gives an upstream whose circuit is open a moment to recover, for what is not cached: a probe may be on its way. A pause that it asked for has its time. */
export async function momentToRecover(upstream: Upstream, clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  if (upstream.mayBeAsked('client') || upstream.health().state !== 'down') return
  const over = new AbortController()
  const either = signal === undefined ? over.signal : AbortSignal.any([over.signal, signal])
  await Promise.race([clock.sleep(ms, either), upstream.untilMayBeAsked('client', either).catch(() => {})]) // it is rejected by the signal only
  over.abort(OVER)
}
