/** What the cache goes by where a test says nothing else: as out of the box, but nothing happens in the background. */
import type { CacheSettings } from '../../src/cache/cache.ts'

export const CACHE_SETTINGS: CacheSettings = {
  imagePath: '/srv/images',
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
  scrub: { everyMs: 0, bytesPerSecond: 1 },
  prune: { enabled: false, type: 'accessed', durationMs: 0, patterns: undefined, frequencyMs: 0, count: undefined, dryRun: false },
}
