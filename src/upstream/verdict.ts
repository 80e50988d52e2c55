/** What the end of a request says of the health of whom it went to. Pure. */
import type { Answer } from './answer.ts'
import { UpstreamError, type UpstreamErrorKind } from './error.ts'
import { parseRetryAfter } from './failure.ts'

/** `unknown`: it says nothing, since the reason lies elsewhere. */
export type Verdict =
  | { readonly health: 'well' | 'unknown' }
  /** @property isDoubtful it answered, though with an error: what was asked for may be all that is out of order */
  | { readonly health: 'failed'; readonly why: string; readonly isDoubtful?: boolean }
  /** @property pauseMs undefined where it does not say for how long */
  | { readonly health: 'pause'; readonly why: string; readonly pauseMs: number | undefined }

export const WELL: Verdict = { health: 'well' }
export const UNKNOWN: Verdict = { health: 'unknown' }

/** Its own rules (a refused address, a wrong password at a proxy's realm) and bytes that are wrong do not count: asking less often mends neither. */
const FAILURES: ReadonlySet<UpstreamErrorKind> = new Set(['unreachable', 'dns', 'tls', 'timeout', 'failed'])

/**
 * A pause is for all requests, though a 503 may be meant for one name that a client chose: after this time one request goes first and finds out whether
 * it still holds. A limit (429) is for whoever asks, and is kept.
 */
const MAX_UNAVAILABLE_MS = 60_000

/** A server that says no (403, 404) is in good health; a 401 comes from its door, and says nothing of the house. @param nowMs wall-clock time, for a `Retry-After` that is a date */
export function verdictOnAnswer({ status, header, url }: Pick<Answer, 'status' | 'header' | 'url'>, nowMs: number): Verdict {
  if (status === 401) return UNKNOWN
  if (status < 500 && status !== 429) return WELL
  const why = `${url.origin} answered ${status}`
  const longestMs = status === 429 ? Number.POSITIVE_INFINITY : MAX_UNAVAILABLE_MS
  const askedMs = parseRetryAfter(header('retry-after'), nowMs)
  const pauseMs = askedMs === undefined || askedMs === 0 ? undefined : Math.min(askedMs, longestMs)
  if (status === 429 || (status === 503 && pauseMs !== undefined)) return { health: 'pause', why, pauseMs }
  return { health: 'failed', why, isDoubtful: true }
}

/** @param error that a request failed with */
export function verdictOnError(error: unknown): Verdict {
  return error instanceof UpstreamError && FAILURES.has(error.kind) ? { health: 'failed', why: error.message } : UNKNOWN
}

/** Who lost patience says something of the server; who left, or stops, does not. @param reason for which a request was given up */
export function verdictOnAbort(reason: unknown): Verdict {
  return reason instanceof UpstreamError && reason.kind === 'timeout' ? verdictOnError(reason) : UNKNOWN
}
