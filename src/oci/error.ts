/** The error that a client is meant to see: an HTTP status, a code of the distribution-spec, and a sentence for people. */

/** The codes of distribution-spec "Error Codes", and UNAVAILABLE for an upstream that cannot be reached (as docker/distribution has it). */
export type ErrorCode =
  | 'BLOB_UNKNOWN'
  | 'DENIED'
  | 'DIGEST_INVALID'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'SIZE_INVALID'
  | 'TOOMANYREQUESTS'
  | 'UNAUTHORIZED'
  | 'UNAVAILABLE'
  | 'UNSUPPORTED'

export class OciError extends Error {
  /** @param headers sent with the answer, such as `allow` or `retry-after` */
  constructor(
    readonly status: number,
    readonly code: ErrorCode,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options)
    this.name = 'OciError'
  }
}
