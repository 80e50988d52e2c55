/** Gathers what decides the answer to a client that asks for a manifest. Looks only: no registry is asked, nothing is fetched, no access time changes. */
import type { Config } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import type { Digest } from '../oci/digest.ts'
import { formatReference, type Reference } from '../oci/reference.ts'
import type { Store } from '../store/store.ts'
import type { UpstreamDirectory } from '../upstream/upstream.ts'
import { troubleOf } from './answer.ts'
import type { BlobUse, Catalog, ManifestEntry } from './catalog.ts'
import { type BlobFacts, type CachedFacts, type ExplainFacts, type Explanation, explain, type PlatformFacts } from './explanation.ts'
import type { Fills } from './fills.ts'
import type { NegativeAnswers } from './negative.ts'
import type { PrivateRegistries } from './private-registries.ts'
import type { Publisher } from './publisher.ts'
import type { SmallBlobs } from './small-blobs.ts'
import { sourceName } from './sources.ts'
import { isDue, type TagPolicy } from './tag-policy.ts'

export type ExplainerDeps = {
  readonly catalog: Catalog
  /** Resolves when the catalog is complete. */
  readonly catalogReady: Promise<void>
  readonly store: Store
  readonly fills: Fills
  readonly smallBlobs: SmallBlobs
  readonly publisher: Publisher
  readonly upstreams: UpstreamDirectory
  readonly privates: PrivateRegistries
  readonly negative: NegativeAnswers
  readonly policy: TagPolicy
  /** Read each time: they may change. */
  readonly settings: Pick<Config, 'airGapped'>
  readonly clock: Clock
}

/** How deep indexes are followed. */
const MOST_LEVELS = 4

export class Explainer {
  readonly #deps: ExplainerDeps

  constructor(deps: ExplainerDeps) {
    this.#deps = deps
  }

  /** @throws the system's error where the store cannot be looked at */
  async explain(reference: Reference): Promise<Explanation> {
    const { catalog, catalogReady, privates } = this.#deps
    await catalogReady
    const digest = reference.digest ?? catalog.ref(formatReference(reference))?.digest
    const entry = digest === undefined ? undefined : catalog.manifest(digest)
    return explain({
      ...this.#circumstances(reference),
      cached: entry === undefined ? undefined : await this.#cached(entry, formatReference(reference)),
      isHidden: entry !== undefined && !privates.mayKnow(reference.registry, entry),
    })
  }

  #circumstances(reference: Reference): Omit<ExplainFacts, 'cached' | 'isHidden'> {
    const { catalog, privates, negative, policy, settings, clock } = this.#deps
    const { registry, tag } = reference
    const name = formatReference(reference)
    const revalidate = tag === undefined ? undefined : policy.of(tag, name)
    const isChecked = revalidate !== undefined && revalidate !== 'never'
    return {
      reference: name,
      registry,
      airGapped: settings.airGapped,
      needsConsent: privates.has(registry),
      policy: revalidate,
      isDue: isChecked && isDue(revalidate, catalog.ref(name)?.checkedMs ?? 0, clock.now()),
      upstream: this.#upstream(reference),
      isKnownAbsent: negative.has(name),
    }
  }

  /** By its health: to ask `mayBeAsked` would be a wish to reach it. */
  #upstream({ registry }: Reference): ExplainFacts['upstream'] {
    try {
      return this.#deps.upstreams.of(registry).health()
    } catch (error) {
      if (troubleOf(error) === undefined) throw error
      return { closed: (error as Error).message }
    }
  }

  async #cached(entry: ManifestEntry, name: string): Promise<CachedFacts> {
    const { digest, kind, mediaType, sizeBytes } = entry
    const ref = this.#deps.catalog.ref(name)
    return {
      digest,
      kind,
      mediaType,
      sizeBytes,
      suppliedBy: sourceName(entry),
      bytesIn: await this.#whereIs(digest),
      times: ref && { createdMs: ref.createdMs, pulledMs: ref.pulledMs, checkedMs: ref.checkedMs },
      blobs: await inTurn(entry.blobs, (blob) => this.#blob(blob)),
      platforms: await inTurn([...entry.manifests.keys()], (i) => this.#listed(entry, i)),
    }
  }

  async #whereIs(digest: Digest): Promise<CachedFacts['bytesIn']> {
    const { publisher, store } = this.#deps
    if (publisher.bytesAtHand(digest) !== undefined) return 'memory'
    return (await store.hasRecord(digest)) ? 'store' : 'nowhere'
  }

  async #blob({ digest, sizeBytes, foreign }: BlobUse): Promise<BlobFacts> {
    const { smallBlobs, fills, store } = this.#deps
    if (foreign) return { digest, sizeBytes, state: 'foreign' }
    if (smallBlobs.get(digest) !== undefined) return { digest, sizeBytes, state: 'memory' }
    if (fills.of(digest) !== undefined) return { digest, sizeBytes, state: 'downloading' }
    const stored = await store.openBlob(digest)
    stored?.close()
    return { digest, sizeBytes, state: stored?.sizeBytes === sizeBytes ? 'stored' : 'missing' }
  }

  async #listed(index: ManifestEntry, i: number): Promise<PlatformFacts> {
    const digest = index.manifests[i] as Digest
    return { platform: index.platforms[i] ?? '', digest, state: await this.#stateOf(digest, MOST_LEVELS) }
  }

  async #stateOf(digest: Digest, levels: number): Promise<PlatformFacts['state']> {
    const entry = this.#deps.catalog.manifest(digest)
    if (entry === undefined || (await this.#whereIs(digest)) === 'nowhere') return 'absent'
    for (const blob of entry.blobs) if (isLacking((await this.#blob(blob)).state)) return 'incomplete'
    for (const listed of levels > 1 ? entry.manifests : [])
      if ((await this.#stateOf(listed, levels - 1)) !== 'complete') return 'incomplete'
    return 'complete'
  }
}

function isLacking(state: BlobFacts['state']): boolean {
  return state === 'missing' || state === 'downloading'
}

/** One after the other: a manifest may list thousands of blobs, each of which opens a file. */
async function inTurn<T, R>(items: readonly T[], look: (item: T) => Promise<R>): Promise<R[]> {
  const found: R[] = []
  for (const item of items) found.push(await look(item))
  return found
}
