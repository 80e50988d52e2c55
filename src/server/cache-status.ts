/** `Cache-Status` (RFC 9211) and `Warning`: what the cache did for an answer, in words for a header. */
import type { CacheStatus } from '../cache/answer.ts'
import { RememberedError } from '../cache/negative.ts'
import type { CacheResult } from '../observe/metrics.ts'
import { OciError } from '../oci/error.ts'
import { UpstreamError, type UpstreamErrorKind } from '../upstream/error.ts'

const CACHE = 'ociregistry'
const HIT = 'ociregistry; hit'

/** @param status undefined for answers that no content stands behind */
export function formatCacheStatus(status: CacheStatus | undefined): string {
  if (status === undefined) return CACHE
  if (status.hit) return status.stale === undefined ? HIT : `${HIT}; detail=stale-${dashed(status.stale)}`
  return status.collapsed ? `${CACHE}; fwd=miss; collapsed` : `${CACHE}; fwd=miss`
}

/** What an upstream said just now may be said again without asking it: that is a hit, too. */
export function cacheStatusOfError(error: unknown): string {
  const told = upstreamErrorIn(error)
  if (told === undefined) return CACHE
  return `${told instanceof RememberedError ? HIT : `${CACHE}; fwd=miss`}; detail=${dashed(told.kind)}`
}

/** The same in one word, for logs and metrics. */
export function cacheResultOf(status: CacheStatus | undefined): CacheResult {
  if (status === undefined) return 'none'
  if (status.hit) return status.stale === undefined ? 'hit' : 'stale'
  return status.collapsed ? 'joined' : 'miss'
}

export function cacheResultOfError(error: unknown): CacheResult {
  const told = upstreamErrorIn(error)
  if (told === undefined) return 'none'
  return told instanceof RememberedError ? 'hit' : 'miss'
}

/** What the upstream failed with, where that is what an error is about. */
export function upstreamErrorIn(error: unknown): UpstreamError | undefined {
  const told = error instanceof OciError && error.cause !== undefined ? error.cause : error
  return told instanceof UpstreamError ? told : undefined
}

/** The carrier that the distribution-spec has for "served stale" ("Warnings"); undefined where nothing is to be said. */
export function formatWarning(status: CacheStatus): string | undefined {
  if (!status.hit || status.stale === undefined) return undefined
  return `299 - "the upstream could not confirm this (${dashed(status.stale)}); it is what was cached before"`
}

function dashed(kind: UpstreamErrorKind): string {
  return kind.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
