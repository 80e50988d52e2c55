/** What the cache says of an answer beside its content: whether it was there, and what kept the upstream from confirming it. */
import type { UpstreamErrorKind } from '../upstream/error.ts'

export type CacheStatus =
  | { readonly hit: true; readonly stale?: UpstreamErrorKind }
  /** `collapsed`: it joined a request that was on its way upstream already. */
  | { readonly hit: false; readonly collapsed: boolean }

export const HIT: CacheStatus = { hit: true }
export const MISS: CacheStatus = { hit: false, collapsed: false }
export const COLLAPSED: CacheStatus = { hit: false, collapsed: true }

/** What a request allows. */
export type Demand = {
  /** `Cache-Control: only-if-cached`: the upstream is not asked. */
  readonly onlyIfCached: boolean
}
