/** Conditional requests (RFC 9110 13.1): the entity tag of content is its digest in quotes. */
import type { Digest } from './digest.ts'

export function etagOf(digest: Digest): string {
  return `"${digest}"`
}

/** Whether `If-None-Match` lists the content, so that the answer is 304 (weak comparison, RFC 9110 13.1.2). */
export function noneMatchHits(header: string | undefined, digest: Digest): boolean {
  if (header === undefined) return false
  if (header.trim() === '*') return true
  const etag = etagOf(digest)
  return header.split(',').some((candidate) => candidate.trim().replace(/^W\//, '') === etag)
}

/** Whether `Range` counts beside this `If-Range` (strong comparison, RFC 9110 13.1.5; a date never matches: nothing here has one). */
export function ifRangeHolds(header: string | undefined, digest: Digest): boolean {
  return header === undefined || header.trim() === etagOf(digest)
}
