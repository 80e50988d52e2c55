/** Completes images in the background, so that what was pulled once is there when the network is not. */
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Registry } from '../oci/name.ts'
import type { Store } from '../store/store.ts'
import type { BlobUse, Catalog, ManifestEntry } from './catalog.ts'
import type { Fills } from './fills.ts'
import { type Image, ImageLine } from './image-line.ts'
import type { SmallBlobs } from './small-blobs.ts'
import { type Source, sourceName } from './sources.ts'

export type PrefetchDeps = {
  readonly catalog: Catalog
  readonly store: Store
  readonly fills: Fills
  readonly smallBlobs: SmallBlobs
  /** Whether images are to be completed now; what is in line otherwise is let go. */
  readonly isWanted: () => boolean
  readonly clock: Clock
  readonly log: Log
  readonly completeWithinMs: number
}

/** At start there may be thousands of images to look at: more at once would take the files and threads that requests need. */
const LOOKS_AT_ONCE = 4
/** Downloads that are started ahead of time; the images wait here, where one takes no more memory than its name. */
const FILLS_AHEAD = 64
const FILLS_AHEAD_OF_ONE_REGISTRY = 16
/** Of an image, before the next one has its turn: a manifest may list thousands of layers. */
const BLOBS_IN_A_TURN = 16
/** What is beyond that waits until it is asked for again. */
const MOST_IMAGES = 100_000
/** A manifest that is asked for many times a second, in an outage, starts downloads that fail once a second. */
const LOOK_AGAIN_MS = 1000

export class Prefetch {
  readonly #deps: PrefetchDeps
  /** When an image is worth another look; never, once it was found complete. */
  readonly #lookAgainAt = new WeakMap<ManifestEntry, number>()
  readonly #looking = new Set<Promise<void>>()
  readonly #line = new ImageLine(MOST_IMAGES)
  #stopped = false

  constructor(deps: PrefetchDeps) {
    this.#deps = deps
    deps.fills.onBackgroundMoved = () => this.#lookAtNext()
  }

  /**
   * Queues what is missing of an image that a client asked for.
   * @param source where the client asked for it; whoever supplied the manifest may not have the rest
   * @param startedBy the id of its request
   */
  complete(entry: ManifestEntry, source: Source = entry, startedBy?: string): void {
    const again = this.#lookAgainAt.get(entry)
    if (again === undefined || again <= this.#deps.clock.monotonic()) this.#queue(entry, source, true, startedBy)
  }

  /** Queues what a restart or a store without room left incomplete, of the images of the last days. Looks at once, whenever it did before. */
  resume(): void {
    const since = this.#deps.clock.now() - this.#deps.completeWithinMs
    for (const entry of this.#deps.catalog.manifests())
      if (entry.createdMs >= since && this.#lookAgainAt.get(entry) !== Number.POSITIVE_INFINITY) this.#queue(entry, entry, false)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#looking)
  }

  #queue(entry: ManifestEntry, { registry, repository }: Source, asked: boolean, startedBy?: string): void {
    if (entry.kind !== 'image' || entry.attestation || this.#stopped) return
    this.#lookAgainAt.set(entry, this.#deps.clock.monotonic() + LOOK_AGAIN_MS)
    this.#line.add(entry, { registry, repository }, asked, startedBy)
    this.#lookAtNext()
  }

  /** As long as few downloads are queued, which is seen again whenever one begins. */
  #lookAtNext(): void {
    while (!this.#stopped && this.#looking.size < LOOKS_AT_ONCE) {
      const image = this.#isWelcome() ? this.#line.take((registry) => this.#isWelcome(registry)) : undefined
      if (image === undefined) return
      const looking = this.#turnOf(image)
        .catch((error: unknown) => {
          this.#line.leave(image)
          this.#deps.log.error('could not complete an image', { digest: image.entry.digest, error })
        })
        .finally(() => {
          this.#looking.delete(looking)
          this.#lookAtNext()
        })
      this.#looking.add(looking)
    }
  }

  #isWelcome(registry?: Registry): boolean {
    return this.#deps.fills.queuedInBackground(registry) < (registry === undefined ? FILLS_AHEAD : FILLS_AHEAD_OF_ONE_REGISTRY)
  }

  /** Starts the downloads of what is missing of an image, as many as are welcome now. */
  async #turnOf(image: Image): Promise<void> {
    const { entry, started } = image
    const { blobs } = entry
    const isGone = this.#deps.catalog.manifest(entry.digest) !== entry // it was removed meanwhile
    if (isGone || !this.#deps.isWanted()) return this.#line.leave(image)
    while (image.next < blobs.length && image.looks < BLOBS_IN_A_TURN) {
      if (this.#stopped) return
      if (!this.#isWelcome() || !this.#isWelcome(image.source.registry)) break
      const blob = blobs[image.next++]
      image.looks++
      if (blob !== undefined) await this.#startIfMissing(blob, image)
    }
    if (started === 0 && image.started > 0)
      this.#deps.log.info('completing image in the background', {
        digest: entry.digest,
        repository: sourceName(image.source),
        blobs: blobs.length,
        startedBy: image.startedBy,
      })
    if (image.next < blobs.length) return this.#line.putBack(image, image.looks >= BLOBS_IN_A_TURN)
    this.#line.leave(image)
    if (image.missing === 0 && !blobs.some(({ digest }) => this.#deps.fills.isUnstored(digest)))
      this.#lookAgainAt.set(entry, Number.POSITIVE_INFINITY)
  }

  async #startIfMissing(blob: BlobUse, image: Image): Promise<void> {
    const { fills } = this.#deps
    const { digest, foreign } = blob
    if (foreign || (fills.of(digest) === undefined && (await this.#isStored(blob)))) return
    if (this.#stopped) return
    const { registry, repository } = image.entry
    image.missing++
    const { fill, joined } = fills.start(digest, image.source, 'background', image.startedBy)
    fill.addSource({ registry, repository })
    if (!joined) image.started++
  }

  /** An older program leaves a download that was cut short under its final name: the length tells. */
  async #isStored({ digest, sizeBytes }: BlobUse): Promise<boolean> {
    if (this.#deps.smallBlobs.get(digest) !== undefined) return true
    const blob = await this.#deps.store.openBlob(digest)
    blob?.close()
    return blob !== undefined && (blob.verified || blob.sizeBytes === sizeBytes)
  }
}
