/** Completes images in the background, so that what was pulled once is there when the network is not. */
import { Limiter } from '../async/limiter.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Store } from '../store/store.ts'
import type { BlobUse, Catalog, ManifestEntry } from './catalog.ts'
import type { Fills } from './fills.ts'
import type { SmallBlobs } from './small-blobs.ts'
import { type Source, sourceName } from './sources.ts'

export type PrefetchDeps = {
  readonly catalog: Catalog
  readonly store: Store
  readonly fills: Fills
  readonly smallBlobs: SmallBlobs
  readonly clock: Clock
  readonly log: Log
  readonly completeWithinMs: number
}

/** At start there may be thousands of images to look at: more at once would take the files and threads that requests need. */
const LOOKS_AT_ONCE = 4
/** A manifest that is asked for many times a second, in an outage, starts downloads that fail once a second. */
const LOOK_AGAIN_MS = 1000

export class Prefetch {
  readonly #deps: PrefetchDeps
  /** When an image is worth another look; never, once it was found complete. */
  readonly #lookAgainAt = new WeakMap<ManifestEntry, number>()
  readonly #looking = new Set<Promise<void>>()
  readonly #limiter = new Limiter(LOOKS_AT_ONCE)
  #stopped = false

  constructor(deps: PrefetchDeps) {
    this.#deps = deps
  }

  /**
   * Queues what is missing of an image that a client asked for.
   * @param source where the client asked for it; whoever supplied the manifest may not have the rest
   */
  complete(entry: ManifestEntry, { registry, repository }: Source = entry): void {
    if (entry.kind !== 'image' || entry.attestation) return
    const again = this.#lookAgainAt.get(entry)
    if (again === Number.POSITIVE_INFINITY) return
    const now = this.#deps.clock.monotonic()
    if (again !== undefined && again > now) return
    this.#lookAgainAt.set(entry, now + LOOK_AGAIN_MS)
    const looking = this.#limiter
      .run(() => this.#queueMissing(entry, { registry, repository }))
      .catch((error: unknown) => this.#deps.log.error('could not complete an image', { digest: entry.digest, error }))
      .finally(() => this.#looking.delete(looking))
    this.#looking.add(looking)
  }

  /** Queues what a restart left incomplete, of the images of the last days. */
  resume(): void {
    const since = this.#deps.clock.now() - this.#deps.completeWithinMs
    for (const entry of this.#deps.catalog.manifests()) if (entry.createdMs >= since) this.complete(entry)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#looking)
  }

  async #queueMissing(entry: ManifestEntry, source: Source): Promise<void> {
    const { fills } = this.#deps
    const supplier = { registry: entry.registry, repository: entry.repository }
    let missing = 0
    let started = 0
    for (const blob of entry.blobs) {
      const { digest, foreign } = blob
      if (this.#stopped) return
      if (foreign || (fills.of(digest) === undefined && (await this.#isStored(blob)))) continue
      missing++
      const { fill, joined } = fills.start(digest, source, 'background')
      fill.addSource(supplier)
      if (!joined) started++
    }
    if (missing === 0) this.#lookAgainAt.set(entry, Number.POSITIVE_INFINITY)
    if (started > 0)
      this.#deps.log.info('completing image in the background', {
        digest: entry.digest,
        repository: sourceName(source),
        blobs: started,
      })
  }

  /** An older program leaves a download that was cut short under its final name: the length tells. */
  async #isStored({ digest, sizeBytes }: BlobUse): Promise<boolean> {
    if (this.#deps.smallBlobs.get(digest) !== undefined) return true
    const blob = await this.#deps.store.openBlob(digest)
    blob?.close()
    return blob !== undefined && (blob.verified || blob.sizeBytes === sizeBytes)
  }
}
