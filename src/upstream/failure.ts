/** Turns what goes wrong on the way (error codes of Node, OpenSSL and undici) and what registries answer into kinds of `UpstreamError`. Pure. */
import type { UpstreamErrorKind } from './error.ts'

const CODES: Readonly<Record<string, UpstreamErrorKind>> = {
  EAI_AGAIN: 'dns',
  EAI_FAIL: 'dns',
  EAI_NODATA: 'dns',
  EAI_NONAME: 'dns',
  ENODATA: 'dns',
  ENOTFOUND: 'dns',
  EADDRNOTAVAIL: 'unreachable',
  EACCES: 'unreachable',
  ECONNABORTED: 'unreachable',
  ECONNREFUSED: 'unreachable',
  ECONNRESET: 'unreachable',
  EHOSTDOWN: 'unreachable',
  EHOSTUNREACH: 'unreachable',
  ENETDOWN: 'unreachable',
  ENETUNREACH: 'unreachable',
  EPERM: 'unreachable',
  EPIPE: 'unreachable',
  UND_ERR_CLOSED: 'unreachable',
  UND_ERR_DESTROYED: 'unreachable',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'unreachable',
  UND_ERR_SOCKET: 'unreachable',
  ETIMEDOUT: 'timeout',
  UND_ERR_BODY_TIMEOUT: 'timeout',
  UND_ERR_CONNECT_TIMEOUT: 'timeout',
  UND_ERR_HEADERS_TIMEOUT: 'timeout',
}

/** Why OpenSSL does not believe a chain: nobody known signed it. A CA in the configuration helps. */
const UNKNOWN_ISSUER: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])

/** Other reasons (nodejs.org/api/tls.html#x509-certificate-error-codes). */
const BAD_CERTIFICATE: ReadonlySet<string> = new Set([
  'CERT_CHAIN_TOO_LONG',
  'CERT_REJECTED',
  'CERT_REVOKED',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'PATH_LENGTH_EXCEEDED',
])

/** What OpenSSL says of an answer that is no TLS record: `HTTP/1.1 400 Bad Request`, mostly. */
const NOT_TLS: ReadonlySet<string> = new Set(['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG', 'ERR_SSL_UNKNOWN_PROTOCOL'])

/** Reasons that have a remedy of their own. */
const REASONS: Readonly<Record<string, FailureReason>> = {
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'notYetValid',
  ERR_TLS_CERT_ALTNAME_INVALID: 'wrongName',
  HOSTNAME_MISMATCH: 'wrongName',
}

/** Alerts by which a server says what it thinks of our certificate, or of our having none (RFC 8446 6.2); OpenSSL 3.5 calls them `SSL/TLS_ALERT_…`. */
const CLIENT_CERTIFICATE =
  /^ERR_SSL_[\w/]+_ALERT_(?:CERTIFICATE_\w+|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE)$/

/** What makes a hint possible. */
export type FailureReason = 'unknownIssuer' | 'expired' | 'notYetValid' | 'wrongName' | 'badCertificate' | 'notTls' | 'clientCertificate'

export type Failure = {
  readonly kind: UpstreamErrorKind
  readonly reason?: FailureReason
  /** For people. */
  readonly text: string
}

/** @param error as `fetch` or undici rejects with; native fetch hides the real one in `cause` */
export function failureOf(error: unknown): Failure {
  const real = innermost(error)
  const code = real.code ?? ''
  const text = wordsOf(real) || code || String(error)
  if (UNKNOWN_ISSUER.has(code)) return { kind: 'tls', reason: 'unknownIssuer', text }
  const reason = REASONS[code] ?? (CLIENT_CERTIFICATE.test(code) ? 'clientCertificate' : undefined)
  if (reason !== undefined) return { kind: 'tls', reason, text }
  if (BAD_CERTIFICATE.has(code)) return { kind: 'tls', reason: 'badCertificate', text }
  if (NOT_TLS.has(code)) return { kind: 'tls', reason: 'notTls', text: 'it does not speak TLS' }
  if (/^(?:ERR_SSL_|ERR_TLS_|EPROTO$)/.test(code)) return { kind: 'tls', text }
  return { kind: CODES[code] ?? 'failed', text }
}

/** Whether a request failed because its connection was closed under it, as happens to kept-alive ones. */
export function isClosedUnderRequest(error: unknown): boolean {
  const { code } = innermost(error)
  return code === 'UND_ERR_SOCKET' || code === 'UND_ERR_CLOSED' || code === 'ECONNRESET' || code === 'EPIPE'
}

const STATUSES: Readonly<Record<number, UpstreamErrorKind>> = { 401: 'denied', 403: 'denied', 404: 'notFound', 429: 'limited' }

export function kindOfStatus(status: number): UpstreamErrorKind {
  return STATUSES[status] ?? 'failed'
}

const MAX_RETRY_AFTER_MS = 3_600_000

/** @param header seconds or a date (RFC 9110 10.2.3). @returns ms from `nowMs`, at most an hour; undefined if it says nothing */
export function parseRetryAfter(header: string | undefined, nowMs: number): number | undefined {
  const text = header?.trim() ?? ''
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs
  return text === '' || Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS)
}

/** What an error's body says: the `message` of its first OCI error, or its `code`, or the title of a page; on one line, clipped; empty if it is something else. */
/** @param strike takes out of its words what nobody is to see */
export function messageOfErrorBody(text: string, strike = (words: string) => words): string {
  return strike(messageInJson(text) ?? titleOfPage(text))
    .replace(/[^\x20-\x7e]+/g, ' ')
    .slice(0, 200)
}

function messageInJson(text: string): string | undefined {
  try {
    const [first] = (JSON.parse(text) as { errors?: { message?: unknown; code?: unknown }[] }).errors ?? []
    return String([first?.message, first?.code].find((part) => typeof part === 'string' && part !== '') ?? '')
  } catch {
    return undefined
  }
}

/** `400 No required SSL certificate was sent`: what nginx and proxies have to say stands there. */
function titleOfPage(text: string): string {
  const [, title = ''] = /<title>([^<]*)/i.exec(text) ?? []
  return title.trim().replace(/^\d{3} /, '')
}

/** OpenSSL's words come without the places in its source that Node puts around them. */
function wordsOf(error: NodeJS.ErrnoException & { readonly reason?: unknown }): string {
  return typeof error.reason === 'string' && error.code?.startsWith('ERR_SSL_') ? error.reason : error.message
}

function innermost(error: unknown): NodeJS.ErrnoException {
  let found = error as NodeJS.ErrnoException
  for (let depth = 0; depth < 5 && found.code === undefined; depth++) {
    const inner = found instanceof AggregateError ? found.errors[0] : found.cause
    if (!(inner instanceof Error)) break
    found = inner
  }
  return found
}
