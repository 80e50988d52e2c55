/** The cache: puts its parts together, owns their lives, and is what the server asks. */
import type { Config, ScrubConfig } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { ScrubNotes } from '../store/scrub-note.ts'
import type { Space } from '../store/space.ts'
import type { SpoolDirectory } from '../store/spool.ts'
import type { Store } from '../store/store.ts'
import type { StoreFiles } from '../store/store-files.ts'
import type { UpstreamDirectory } from '../upstream/upstream.ts'
import { Blobs } from './blobs.ts'
import type { Budgets } from './budgets.ts'
import { Catalog } from './catalog.ts'
import { loadCatalog } from './catalog-load.ts'
import { Fills } from './fills.ts'
import { Lists } from './lists.ts'
import { Manifests } from './manifests.ts'
import { Mender } from './mender.ts'
import { NegativeAnswers } from './negative.ts'
import { Prefetch } from './prefetch.ts'
import { Presence } from './presence.ts'
import { PrivateRegistries } from './private-registries.ts'
import { Publisher } from './publisher.ts'
import { Scrub } from './scrub.ts'
import { SmallBlobs } from './small-blobs.ts'
import { Sweep } from './sweep.ts'
import { TagPolicy, type TagSettings } from './tag-policy.ts'
import { Verifications } from './verification.ts'

export type CacheSettings = TagSettings & Pick<Config, 'airGapped' | 'prefetch' | 'registries' | 'privateRegistries' | 'negativeTtlMs'>

export type CacheDeps = {
  readonly store: Store
  readonly spools: SpoolDirectory
  readonly space: Space
  readonly upstreams: UpstreamDirectory
  readonly settings: CacheSettings
  /** Without it nothing that is stored is read but what clients ask for. */
  readonly scrub?: { readonly settings: ScrubConfig; readonly files: StoreFiles; readonly notes: ScrubNotes }
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
  readonly #presence: Presence
  readonly #sweep: Sweep
  readonly #scrub: Scrub | undefined
  readonly #load: { begin: () => void }
  #isLoaded = false

  constructor(deps: CacheDeps) {
    const { store, spools, space, upstreams, settings, budgets, clock, log } = deps
    const catalog = this.#catalog
    const { airGapped } = settings
    let begin = () => {}
    const catalogReady = new Promise<void>((resolve) => {
      begin = resolve
    })
    this.#deps = deps
    this.#load = { begin }
    this.#publisher = new Publisher({ catalog, store, space, clock, log, accessTimesMs: budgets.accessTimesMs })
    const smallBlobs = new SmallBlobs()
    this.#fills = new Fills({ upstreams, spools, space, clock, log, budgets, store, catalog, smallBlobs })
    this.#presence = new Presence({
      catalog,
      store,
      space,
      fills: this.#fills,
      publisher: this.#publisher,
      smallBlobs,
      everyMs: budgets.presenceMs,
      clock,
      log,
    })
    this.#verifications = new Verifications(store, log)
    this.#sweep = new Sweep({ spools, space, clock, log, olderThanMs: budgets.spoolMs })
    const privates = new PrivateRegistries(settings.privateRegistries, settings.registries, catalog)
    const negative = new NegativeAnswers(clock, settings.negativeTtlMs)
    this.manifests = new Manifests({
      catalog,
      catalogReady,
      publisher: this.#publisher,
      presence: this.#presence,
      store,
      upstreams,
      airGapped,
      policy: new TagPolicy(settings),
      privates,
      negative,
      budgets,
      clock,
      log,
    })
    this.blobs = new Blobs({
      negative,
      catalog,
      catalogReady,
      store,
      fills: this.#fills,
      verifications: this.#verifications,
      smallBlobs,
      presence: this.#presence,
      upstreams,
      airGapped,
      budgets,
      clock,
      log,
    })
    this.lists = new Lists({
      catalog,
      catalogReady,
      manifests: this.manifests,
      upstreams,
      privates,
      negative,
      airGapped,
      checkMs: budgets.checkMs,
      clock,
      log,
    })
    this.prefetch =
      settings.prefetch && !airGapped
        ? new Prefetch({ catalog, store, fills: this.#fills, smallBlobs, clock, log, completeWithinMs: budgets.completeWithinMs })
        : undefined
    this.#scrub = deps.scrub === undefined ? undefined : this.#newScrub(deps.scrub)
  }

  /** Whether everything that is in the store is known. */
  get isLoaded(): boolean {
    return this.#isLoaded
  }

  /** Loads the catalog; requests that come meanwhile wait for it. What cannot be loaded is logged, and found again file by file when it is asked for. */
  async start(): Promise<void> {
    await this.#loadCatalog()
    this.#isLoaded = true
    this.#load.begin()
    this.#publisher.start()
    this.#sweep.start()
    this.prefetch?.resume()
    this.#scrub?.start()
  }

  /** Learns what another process has written to the store since. After `start`. */
  async reload(): Promise<void> {
    await this.#loadCatalog()
  }

  /** Tries again what could not be written, and completes what was given up for want of room: the store takes writes again. */
  storeAgain(): void {
    this.#publisher.flush()
    void this.#fills.storeAgain().then(() => {
      if (this.#isLoaded) this.prefetch?.resume()
    })
  }

  /** Ends fills, and resolves when everything verified is stored. */
  async stop(): Promise<void> {
    await this.#scrub?.stop()
    await this.#presence.stop()
    await this.#sweep.stop()
    await this.prefetch?.stop()
    await this.#fills.stop()
    await this.#verifications.stop()
    await this.#publisher.stop()
  }

  async #loadCatalog(): Promise<void> {
    const { store, clock, log } = this.#deps
    try {
      await loadCatalog(this.#catalog, store, clock, log)
    } catch (error) {
      log.error('could not read the whole store', { error })
    }
  }

  #newScrub({ settings, files, notes }: NonNullable<CacheDeps['scrub']>): Scrub | undefined {
    if (settings.everyMs === 0) return undefined
    const { store, space, upstreams, clock, log } = this.#deps
    const { airGapped } = this.#deps.settings
    const [catalog, fills, manifests, publisher] = [this.#catalog, this.#fills, this.manifests, this.#publisher]
    const mender = new Mender({ catalog, store, files, fills, manifests, publisher, upstreams, airGapped, log })
    const completes = this.prefetch !== undefined
    return new Scrub({ settings, files, notes, store, catalog, fills, mender, space, completes, clock, log })
  }
}
