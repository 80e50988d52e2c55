/** What the cache goes by where a test says nothing else: as out of the box, but nothing happens in the background. */
import type { CacheSettings } from '../../src/cache/cache.ts'

export const CACHE_SETTINGS: CacheSettings = {
  airGapped: false,
  alwaysPullLatest: false,
  tagPolicy: [],
  skipTags: undefined,
  cacheManifests: true,
  registries: [],
  privateRegistries: [],
  negativeTtlMs: 10_000,
  prefetch: false,
  budget: { maxBytes: undefined, highBytes: 0, lowBytes: 0 },
  pins: undefined,
}
