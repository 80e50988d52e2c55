/** Completes images in the background, so that what was pulled once is there when the network is not (design §3). */
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Store } from '../store/store.ts'
import type { Catalog, ManifestEntry } from './catalog.ts'
import type { Fills } from './fills.ts'

export type PrefetchDeps = {
  readonly catalog: Catalog
  readonly store: Store
  readonly fills: Fills
  readonly clock: Clock
  readonly log: Log
  readonly completeWithinMs: number
}

export class Prefetch {
  readonly #deps: PrefetchDeps
  /** Images known to be complete, or being completed: asked for a thousand times, looked at once. */
  readonly #seen = new Set<ManifestEntry>()
  readonly #looking = new Set<Promise<void>>()

  constructor(deps: PrefetchDeps) {
    this.#deps = deps
  }

  /** Queues what is missing of an image that a client asked for. */
  complete(entry: ManifestEntry): void {
    if (entry.kind !== 'image' || entry.attestation || this.#seen.has(entry)) return
    this.#seen.add(entry)
    const looking = this.#queueMissing(entry)
      .catch((error: unknown) => this.#deps.log.error('could not complete an image', { digest: entry.digest, error }))
      .finally(() => this.#looking.delete(looking))
    this.#looking.add(looking)
  }

  /** Queues what a restart left incomplete, of the images of the last days. */
  resume(): void {
    const since = this.#deps.clock.now() - this.#deps.completeWithinMs
    for (const entry of this.#deps.catalog.manifests()) if (entry.createdMs >= since) this.complete(entry)
  }

  async idle(): Promise<void> {
    await Promise.all(this.#looking)
  }

  async #queueMissing(entry: ManifestEntry): Promise<void> {
    const { fills, store } = this.#deps
    const source = { registry: entry.registry, repository: entry.repository }
    let missing = 0
    for (const { digest, foreign } of entry.blobs) {
      if (foreign || fills.of(digest) !== undefined) continue
      const stored = await store.openBlob(digest)
      stored?.close()
      if (stored !== undefined || fills.of(digest) !== undefined) continue
      fills.start(digest, source, 'background')
      missing++
    }
    if (missing > 0)
      this.#deps.log.info('completing image in the background', {
        digest: entry.digest,
        repository: `${source.registry}/${source.repository}`,
        blobs: missing,
      })
  }
}
