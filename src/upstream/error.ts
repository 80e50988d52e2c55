/** What went wrong upstream, in one word that decides what a client is told (the table is in `server/errors.ts`). */
import type { Challenge } from '../oci/challenge.ts'

export type UpstreamErrorKind =
  | 'notFound' // 404
  | 'denied' // 401 or 403, of the registry or of its token realm
  | 'limited' // 429
  | 'unreachable' // refused, reset, closed before an answer
  | 'dns' // the name has no address, or the look-up failed
  | 'tls' // certificate, protocol or alert
  | 'failed' // 5xx, or a status nobody expects
  | 'corrupt' // bytes that are not what they should be: digest, size, type, encoding
  | 'timeout' // no answer in time
  | 'circuitOpen' // not asked: it failed too often just now
  | 'refusedAddress' // an address that clients must not reach through this server

export type UpstreamErrorDetails = {
  /** What a `Retry-After` asked for. */
  readonly retryAfterMs?: number
  /** What the upstream challenged with; kept for passing a client's own credentials through. */
  readonly challenges?: readonly Challenge[]
  readonly cause?: unknown
}

export class UpstreamError extends Error {
  readonly retryAfterMs: number | undefined
  readonly challenges: readonly Challenge[]

  /** @param message says what was attempted, at which registry, what came back, and what to do where something can be done */
  constructor(
    readonly kind: UpstreamErrorKind,
    message: string,
    details: UpstreamErrorDetails = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'UpstreamError'
    this.retryAfterMs = details.retryAfterMs
    this.challenges = details.challenges ?? []
  }
}
