/** Who needs a manifest or blob, and where it can be had again: what the catalog says of each, upwards from blob to image to index. */
import type { Digest } from '../oci/digest.ts'
import { parseReference } from '../oci/reference.ts'
import type { Catalog, ManifestEntry } from './catalog.ts'
import { type Source, sourceName } from './sources.ts'

export type Uses = {
  /** In canonical spelling: its own, then those of what lists it. */
  readonly references: readonly string[]
  /** Who supplied it or what lists it, and where those were asked for; the nearest first. */
  readonly sources: readonly Source[]
}

/** A blob, its image, the index of that, and one more: nobody nests them deeper. */
const LEVELS = 4

/** Where a manifest came from, and where it was asked for. */
export function sourcesOf(catalog: Catalog, digest: Digest): readonly Source[] {
  return usesFrom(catalog, digest, new Map()).sources
}

/** For many digests at once: the catalog is gone through once for each level, whatever their number. */
export function usesOf(catalog: Catalog, digests: Iterable<Digest>): ReadonlyMap<Digest, Uses> {
  const wanted = new Set(digests)
  const holders = wanted.size === 0 ? new Map<Digest, ManifestEntry[]>() : holdersOf(catalog, wanted)
  return new Map(Array.from(wanted, (digest) => [digest, usesFrom(catalog, digest, holders)]))
}

/** What lists each of these, what lists that, and so on. */
function holdersOf(catalog: Catalog, wanted: ReadonlySet<Digest>): ReadonlyMap<Digest, readonly ManifestEntry[]> {
  const holders = new Map<Digest, ManifestEntry[]>()
  let frontier = wanted
  for (let level = 0; level < LEVELS && frontier.size > 0; level++) {
    const found = new Map<Digest, ManifestEntry[]>()
    for (const entry of catalog.manifests()) {
      for (const digest of listedBy(entry)) if (frontier.has(digest)) found.set(digest, [...(found.get(digest) ?? []), entry])
    }
    for (const [digest, entries] of found) holders.set(digest, entries)
    const next = [...found.values()].flat().map(({ digest }) => digest)
    frontier = new Set(next.filter((digest) => !holders.has(digest)))
  }
  return holders
}

function* listedBy(entry: ManifestEntry): Generator<Digest> {
  for (const { digest } of entry.blobs) yield digest
  yield* entry.manifests
}

function usesFrom(catalog: Catalog, digest: Digest, holders: ReadonlyMap<Digest, readonly ManifestEntry[]>): Uses {
  const references = new Set<string>()
  const sources = new Map<string, Source>()
  const seen = new Set<Digest>()
  for (let level: readonly Digest[] = [digest]; level.length > 0; ) {
    for (const each of level) {
      const { registry, repository } = catalog.manifest(each) ?? {}
      if (registry !== undefined && repository !== undefined) addSource(sources, { registry, repository })
      for (const { reference } of catalog.refsOf(each)) {
        references.add(reference)
        addSource(sources, parseReference(reference))
      }
      seen.add(each)
    }
    const above = new Set(level.flatMap((each) => holders.get(each) ?? []).map((entry) => entry.digest))
    level = [...above].filter((each) => !seen.has(each))
  }
  return { references: [...references], sources: [...sources.values()] }
}

function addSource(sources: Map<string, Source>, { registry, repository }: Source): void {
  const source = { registry, repository }
  const name = sourceName(source)
  if (!sources.has(name)) sources.set(name, source)
}
