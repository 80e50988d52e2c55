/** A bound on a wait: the sooner of a time budget and the caller's signal ends it. */

import type { Clock } from '../observe/clock.ts'
import { OVER } from './over.ts'

export type DeadlineOptions = {
  readonly clock: Clock
  readonly ms: number
  readonly signal?: AbortSignal | undefined
  /** What to reject with when `ms` have passed. */
  readonly timeoutError: () => Error
}

/**
 * What `run` resolves to, if it does in time. The signal it gets aborts in all cases of failure, with the reason that the promise rejects with;
 * after success it never does.
 */
export async function withDeadline<T>(options: DeadlineOptions, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { clock, ms, signal, timeoutError } = options
  signal?.throwIfAborted()
  const bound = new AbortController()
  const done = new AbortController()
  const forward = (): void => bound.abort(signal?.reason)
  signal?.addEventListener('abort', forward, { once: true })
  void clock.sleep(ms, done.signal).then((slept) => slept && bound.abort(timeoutError()))
  try {
    return await Promise.race([run(bound.signal), rejection(bound.signal)])
  } finally {
    done.abort(OVER)
    signal?.removeEventListener('abort', forward)
  }
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
