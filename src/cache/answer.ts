/** What the cache says of an answer beside its content: whether it was there, and what kept the upstream from confirming it. */
import { OciError } from '../oci/error.ts'
import { UpstreamError, type UpstreamErrorKind } from '../upstream/error.ts'

export type CacheStatus =
  | { readonly hit: true; readonly stale?: UpstreamErrorKind }
  /** `collapsed`: it joined a request that was on its way upstream already. */
  | { readonly hit: false; readonly collapsed: boolean }

export const HIT: CacheStatus = { hit: true }
export const MISS: CacheStatus = { hit: false, collapsed: false }
export const COLLAPSED: CacheStatus = { hit: false, collapsed: true }

/** What a request allows, and which one it is. */
export type Demand = {
  /** `Cache-Control: only-if-cached`: the upstream is not asked. */
  readonly onlyIfCached: boolean
  /** Its id, for the lines about it, and about what it begins; undefined where no client asks. */
  readonly request?: string | undefined
}

/** The kind of an upstream's trouble (a registry that the configuration closes counts as denied); undefined for a mistake of our own. */
export function troubleOf(error: unknown): UpstreamErrorKind | undefined {
  if (error instanceof UpstreamError) return error.kind
  return error instanceof OciError ? 'denied' : undefined
}
