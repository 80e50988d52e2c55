/** Says in words which image of a cached index it is that is not cached: a digest alone tells nobody which platform is missing. */
import type { Digest } from '../oci/digest.ts'
import type { Reference } from '../oci/reference.ts'
import type { Catalog, ManifestEntry } from './catalog.ts'
import { sourceName } from './sources.ts'

/** `linux/arm64 of docker.io/library/alpine (sha256:…) is not cached; cached are linux/amd64`; undefined where no cached index tells. */
export function missingPlatform(reference: Reference, catalog: Catalog): string | undefined {
  const { digest } = reference
  if (digest === undefined) return undefined
  for (const index of catalog.indexesOf(digest)) {
    const platform = sourceName(index) === sourceName(reference) ? platformIn(index, digest) : undefined
    if (platform === undefined) continue
    const cached = cachedPlatforms(index, catalog)
    const others = cached.length === 0 ? 'no other platform of it is' : `cached are ${cached.join(', ')}`
    return `${platform} of ${sourceName(reference)} (${digest}) is not cached; ${others}`
  }
  return undefined
}

function platformIn({ manifests, platforms }: ManifestEntry, digest: Digest): string | undefined {
  return platforms[manifests.indexOf(digest)] || undefined
}

function cachedPlatforms({ manifests, platforms }: ManifestEntry, catalog: Catalog): readonly string[] {
  const cached = manifests.flatMap((digest, i) => (catalog.manifest(digest) === undefined ? [] : (platforms[i] ?? [])))
  return [...new Set(cached.filter((platform) => platform !== ''))]
}
