/** The cache: puts its parts together, owns their lives, and is what the server asks. */
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { TagReference } from '../oci/reference.ts'
import type { SpoolDirectory } from '../store/spool.ts'
import type { Store } from '../store/store.ts'
import type { UpstreamDirectory } from '../upstream/upstream.ts'
import { Blobs } from './blobs.ts'
import type { Budgets } from './budgets.ts'
import { Catalog } from './catalog.ts'
import { loadCatalog } from './catalog-load.ts'
import { Fills } from './fills.ts'
import { Lists } from './lists.ts'
import { Manifests } from './manifests.ts'
import { Prefetch } from './prefetch.ts'
import { Publisher } from './publisher.ts'
import { SmallBlobs } from './small-blobs.ts'
import { Verifications } from './verification.ts'

export type CacheDeps = {
  readonly store: Store
  readonly spools: SpoolDirectory
  readonly upstreams: UpstreamDirectory
  readonly settings: { readonly airGapped: boolean; readonly alwaysPullLatest: boolean; readonly prefetch: boolean }
  readonly budgets: Budgets
  readonly clock: Clock
  readonly log: Log
}

export class Cache {
  readonly manifests: Manifests
  readonly blobs: Blobs
  readonly lists: Lists
  /** Completes images that clients ask for; undefined where the settings forbid it. */
  readonly prefetch: Prefetch | undefined
  readonly #deps: CacheDeps
  readonly #catalog = new Catalog()
  readonly #fills: Fills
  readonly #verifications: Verifications
  readonly #publisher: Publisher
  readonly #load: { begin: () => void }

  constructor(deps: CacheDeps) {
    const { store, spools, upstreams, settings, budgets, clock, log } = deps
    const catalog = this.#catalog
    const { airGapped } = settings
    let begin = () => {}
    const catalogReady = new Promise<void>((resolve) => {
      begin = resolve
    })
    this.#deps = deps
    this.#load = { begin }
    this.#publisher = new Publisher({ catalog, store, clock, log, accessTimesMs: budgets.accessTimesMs })
    const smallBlobs = new SmallBlobs()
    this.#fills = new Fills({ upstreams, spools, clock, log, budgets, store, catalog, smallBlobs })
    this.#verifications = new Verifications(store, log)
    const mustCheck = (reference: TagReference) => settings.alwaysPullLatest && reference.tag === 'latest'
    this.manifests = new Manifests({
      catalog,
      catalogReady,
      publisher: this.#publisher,
      store,
      upstreams,
      airGapped,
      mustCheck,
      budgets,
      clock,
      log,
    })
    this.blobs = new Blobs({
      catalog,
      catalogReady,
      store,
      fills: this.#fills,
      verifications: this.#verifications,
      smallBlobs,
      upstreams,
      airGapped,
      firstByteMs: budgets.firstByteMs,
      clock,
      log,
    })
    this.lists = new Lists({ catalog, catalogReady, manifests: this.manifests, upstreams, airGapped, checkMs: budgets.checkMs, clock, log })
    this.prefetch =
      settings.prefetch && !airGapped
        ? new Prefetch({ catalog, store, fills: this.#fills, smallBlobs, clock, log, completeWithinMs: budgets.completeWithinMs })
        : undefined
  }

  /** Loads the catalog; requests that come meanwhile wait for it. What cannot be loaded is logged, and found again file by file when it is asked for. */
  async start(): Promise<void> {
    const { store, clock, log } = this.#deps
    try {
      await loadCatalog(this.#catalog, store, clock, log)
    } catch (error) {
      log.error('could not read the whole store', { error })
    }
    this.#load.begin()
    this.#publisher.start()
    this.prefetch?.resume()
  }

  /** Ends fills, and resolves when everything verified is stored. */
  async stop(): Promise<void> {
    await this.prefetch?.stop()
    await this.#fills.stop()
    await this.#verifications.stop()
    await this.#publisher.stop()
  }
}
