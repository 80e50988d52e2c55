/** The one table that turns what went wrong upstream into a status and a code; nobody types a status twice. */
import { type ErrorCode, OciError } from '../oci/error.ts'
import { isSystemError } from '../store/space.ts'
import { UpstreamError, type UpstreamErrorKind } from '../upstream/error.ts'

/** What was asked for: decides which code says "not found". */
export type Asked = 'manifest' | 'blob' | 'name'

const UNKNOWN: Readonly<Record<Asked, ErrorCode>> = { manifest: 'MANIFEST_UNKNOWN', blob: 'BLOB_UNKNOWN', name: 'NAME_UNKNOWN' }

const ANSWERS: Readonly<Record<UpstreamErrorKind, readonly [status: number, code: ErrorCode | 'unknown']>> = {
  notFound: [404, 'unknown'],
  denied: [403, 'DENIED'],
  refusedAddress: [403, 'DENIED'],
  limited: [503, 'TOOMANYREQUESTS'],
  unreachable: [502, 'UNAVAILABLE'],
  dns: [502, 'UNAVAILABLE'],
  tls: [502, 'UNAVAILABLE'],
  failed: [502, 'UNAVAILABLE'],
  corrupt: [502, 'UNAVAILABLE'],
  timeout: [504, 'UNAVAILABLE'],
  circuitOpen: [503, 'UNAVAILABLE'],
}

/** Where nobody says when to come again. */
const RETRY_AFTER_S = '30'

/** @returns undefined for an error that nobody expected: a mistake of our own */
export function toOciError(error: unknown, asked: Asked): OciError | undefined {
  if (error instanceof OciError) return error
  if (isSystemError(error)) {
    return new OciError(503, 'UNAVAILABLE', `the store failed: ${error.message}`, { 'retry-after': RETRY_AFTER_S }, { cause: error })
  }
  if (!(error instanceof UpstreamError)) return undefined
  const [status, code] = ANSWERS[error.kind]
  const retryAfter = error.retryAfterMs === undefined ? undefined : String(Math.ceil(error.retryAfterMs / 1000))
  const headers = status === 503 ? { 'retry-after': retryAfter ?? RETRY_AFTER_S } : {}
  return new OciError(status, code === 'unknown' ? UNKNOWN[asked] : code, error.message, headers, { cause: error })
}

/**
 * Referrers and the tags that tools keep signatures under: clients take any failure but "not found" for a failed pull, so that is what
 * they are told of every trouble upstream.
 */
export function machineryError(error: unknown): unknown {
  if (error instanceof UpstreamError || (error instanceof OciError && error.code === 'NAME_UNKNOWN')) {
    return new OciError(404, 'MANIFEST_UNKNOWN', error.message, {}, { cause: error })
  }
  return error
}
