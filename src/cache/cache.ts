/** The cache: puts its parts together, owns their lives, and is what the server asks. */
import { Renewable } from '../async/renewable.ts'
import type { Config } from '../config/config.ts'
import type { ChangedKeys } from '../config/live-config.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { PruneNote } from '../store/prune-note.ts'
import type { ScrubNote } from '../store/scrub-note.ts'
import type { Space } from '../store/space.ts'
import type { SpoolDirectory } from '../store/spool.ts'
import type { Store } from '../store/store.ts'
import type { StoreFiles } from '../store/store-files.ts'
import type { StoreNote } from '../store/store-note.ts'
import type { UpstreamDirectory } from '../upstream/upstream.ts'
import { Blobs } from './blobs.ts'
import { Budget } from './budget.ts'
import type { Budgets } from './budgets.ts'
import { Catalog } from './catalog.ts'
import { loadCatalog } from './catalog-load.ts'
import { Explainer } from './explain.ts'
import { Fills, type FillView } from './fills.ts'
import type { LoadOptions } from './image-load.ts'
import { ImageLoader } from './image-loader.ts'
import { InUse } from './in-use.ts'
import { Lists } from './lists.ts'
import { Manifests } from './manifests.ts'
import { Mender } from './mender.ts'
import { NegativeAnswers } from './negative.ts'
import { Prefetch } from './prefetch.ts'
import { Presence } from './presence.ts'
import { PrivateRegistries } from './private-registries.ts'
import { PruneSchedule } from './prune-schedule.ts'
import { Pruner } from './pruner.ts'
import { Publisher } from './publisher.ts'
import { storedBytes } from './retention.ts'
import { Scrub } from './scrub.ts'
import { SmallBlobs } from './small-blobs.ts'
import { Supply } from './supply.ts'
import { listedBlobs } from './survey.ts'
import { isStored, Sweep } from './sweep.ts'
import { TagPolicy, type TagSettings } from './tag-policy.ts'
import { Verifications } from './verification.ts'

export type CacheSettings = TagSettings &
  Pick<
    Config,
    'imagePath' | 'airGapped' | 'prefetch' | 'registries' | 'privateRegistries' | 'negativeTtlMs' | 'budget' | 'pins' | 'scrub' | 'prune'
  >

export type CacheDeps = {
  readonly store: Store
  readonly spools: SpoolDirectory
  readonly space: Space
  readonly upstreams: UpstreamDirectory
  /** Read each time; after a change, `reconfigure` is called. */
  readonly settings: CacheSettings
  /** Without it nothing that is stored is read but what clients ask for. */
  readonly scrub?: { readonly files: StoreFiles; readonly notes: StoreNote<ScrubNote> }
  /** Without it nothing is removed but on demand, and for want of room. */
  readonly prune?: { readonly note: StoreNote<PruneNote> }
  readonly budgets: Budgets
  readonly clock: Clock
  readonly log: Log
  readonly metrics?: Metrics | undefined
}

/** What was served within this time is not removed, nor what is needed with it: its client may be in the middle of its pull. */
const IN_USE_MS = 10 * 60_000
/** What nothing needs may be needed in a moment, or by somebody who is yet to say so. */
const ORPHANS_MS = 24 * 3600_000
/** Unfinished downloads are cleared away when there is want of room, if nobody came back for so long. */
const LEFT_MS = 24 * 3600_000

export class Cache {
  readonly manifests: Manifests
  readonly blobs: Blobs
  readonly lists: Lists
  /** Removes what is not wanted any more. */
  readonly pruner: Pruner
  /** What is known of all that is stored; complete when `ready` resolves. */
  readonly catalog = new Catalog()
  readonly ready: Promise<void>
  readonly explainer: Explainer
  readonly #deps: CacheDeps
  readonly #fills: Fills
  readonly #verifications: Verifications
  readonly #publisher: Publisher
  readonly #presence: Presence
  readonly #sweep: Sweep
  readonly #prefetch: Prefetch
  readonly #privates: PrivateRegistries
  readonly #negative: NegativeAnswers
  readonly #policy: TagPolicy
  readonly #budget: Budget
  readonly #mender: Mender | undefined
  readonly #scrub = new Renewable(() => this.#newScrub())
  readonly #pruneSchedule = new Renewable(() => this.#newSchedule())
  readonly #load: { begin: () => void }
  #isLoaded = false

  constructor(deps: CacheDeps) {
    const { store, spools, upstreams, settings, budgets, clock, log, metrics } = deps
    const { catalog } = this
    let begin = () => {}
    const catalogReady = new Promise<void>((resolve) => {
      begin = resolve
    })
    this.ready = catalogReady
    this.#deps = deps
    this.#load = { begin }
    this.#budget = this.#newBudget()
    const space = this.#budget
    const inUse = new InUse(clock, IN_USE_MS)
    this.#publisher = new Publisher({ catalog, store, space, clock, log, accessTimesMs: budgets.accessTimesMs })
    const smallBlobs = new SmallBlobs()
    this.#fills = new Fills({ upstreams, spools, space, clock, log, budgets, store, catalog, smallBlobs, metrics })
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
    this.#sweep = new Sweep({ spools, store, space, clock, log, olderThanMs: budgets.spoolMs })
    this.pruner = new Pruner({
      catalog,
      catalogReady,
      store,
      blobs: () => listedBlobs(store),
      space,
      publisher: this.#publisher,
      guards: () => ({
        servedSinceMs: clock.now() - IN_USE_MS,
        isInUse: (digest) => inUse.has(digest),
        filled: this.#fills.underWay(),
        orphansSinceMs: clock.now() - ORPHANS_MS,
      }),
      isPinned: (reference) => settings.pins?.matches(reference) === true,
      onBlobGone: (digest) => smallBlobs.forget(digest),
      clock,
      log,
      metrics,
    })
    const privates = new PrivateRegistries(settings, catalog)
    const negative = new NegativeAnswers(clock, settings)
    const policy = new TagPolicy(settings)
    this.#privates = privates
    this.#negative = negative
    this.#policy = policy
    this.manifests = new Manifests({
      catalog,
      catalogReady,
      publisher: this.#publisher,
      presence: this.#presence,
      inUse,
      store,
      upstreams,
      settings,
      policy,
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
      inUse,
      upstreams,
      settings,
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
      settings,
      checkMs: budgets.checkMs,
      clock,
      log,
    })
    this.#prefetch = new Prefetch({
      catalog,
      store,
      fills: this.#fills,
      smallBlobs,
      isWanted: () => this.#mayPrefetch,
      clock,
      log,
      completeWithinMs: budgets.completeWithinMs,
    })
    this.explainer = new Explainer({
      catalog,
      catalogReady,
      store,
      fills: this.#fills,
      smallBlobs,
      publisher: this.#publisher,
      upstreams,
      privates,
      negative,
      policy,
      settings,
      clock,
    })
    this.#mender = deps.scrub && this.#newMender(deps.scrub.files)
  }

  /** Completes images that clients ask for; undefined where the settings forbid it. */
  get prefetch(): Prefetch | undefined {
    return this.#mayPrefetch ? this.#prefetch : undefined
  }

  /** How much of the disk the store takes, where that is known: within a budget, and after a prune. */
  get usedBytes(): number | undefined {
    return this.#budget.isLimited ? this.#budget.usedBytes : this.pruner.last?.keptBytes
  }

  /** Whether everything that is in the store is known. */
  get isLoaded(): boolean {
    return this.#isLoaded
  }

  /** What is being downloaded, or is to be. */
  fills(): readonly FillView[] {
    return this.#fills.views()
  }

  /** Loads the catalog; requests that come meanwhile wait for it. What cannot be loaded is logged, and found again file by file when it is asked for. */
  async start(): Promise<void> {
    await this.#loadCatalog()
    this.#isLoaded = true
    this.#load.begin()
    this.#publisher.start()
    this.#sweep.start()
    this.#budget.start()
    this.#pruneSchedule.start()
    this.prefetch?.resume()
    this.#scrub.start()
  }

  /** Goes by settings that have changed, in this turn; resolves when what is done in the background does, too. What is under way goes on. */
  async reconfigure(changed: ChangedKeys): Promise<void> {
    this.#policy.reconfigure()
    this.#privates.reconfigure()
    this.#negative.forgetAll()
    if (!this.#isLoaded) return // what lives in the background is still to be started
    const concerns = (...keys: readonly (keyof Config)[]) => keys.some((key) => changed.has(key))
    if (concerns('budget')) this.#budget.reconfigure()
    if (concerns('prefetch', 'airGapped')) this.prefetch?.resume()
    await Promise.all([
      concerns('prune') ? this.#pruneSchedule.renew() : undefined,
      concerns('scrub', 'prefetch', 'airGapped') ? this.#scrub.renew() : undefined,
    ])
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

  /** Loads images whole; where the settings are air-gapped it only looks whether they are. */
  newLoader(options: Omit<LoadOptions, 'onlyLook'>): ImageLoader {
    const { store, upstreams, settings, clock, log } = this.#deps
    const [catalog, fills, verifications, publisher] = [this.catalog, this.#fills, this.#verifications, this.#publisher]
    const supply = new Supply({ store, space: this.#budget, where: settings.imagePath, fills, verifications, upstreams, clock })
    const { manifests, lists } = this
    const onlyLook = settings.airGapped
    return new ImageLoader({ ...options, onlyLook }, { catalog, manifests, lists, publisher, supply, clock, log })
  }

  /** Ends fills, and resolves when everything verified is stored. */
  async stop(): Promise<void> {
    await this.#scrub.stop()
    await this.#pruneSchedule.stop()
    await this.pruner.stop()
    await this.#budget.stop()
    await this.#presence.stop()
    await this.#sweep.stop()
    await this.#prefetch.stop()
    await this.#fills.stop()
    await this.#verifications.stop()
    await this.#publisher.stop()
  }

  get #mayPrefetch(): boolean {
    const { prefetch, airGapped } = this.#deps.settings
    return prefetch && !airGapped
  }

  #newBudget(): Budget {
    const { space, settings, store, spools, clock, log, metrics } = this.#deps
    return new Budget({
      space,
      settings,
      count: async () => storedBytes({ catalog: this.catalog, blobs: await listedBlobs(store) }) + (await spools.leftBytes()),
      evict: async (most) => {
        await spools.removeStale(LEFT_MS, (digest) => isStored(store, digest))
        const leftBytes = await spools.leftBytes()
        const { references, manifests, blobs, freedBytes, keptBytes } = await this.pruner.prune({ maxBytes: Math.max(0, most - leftBytes) })
        if (references.length + manifests.length + blobs.length > 0) {
          metrics?.evicted()
          log.info('made room in the store', {
            references: references.length,
            manifests: manifests.length,
            blobs: blobs.length,
            bytes: freedBytes,
          })
        }
        return { freedBytes, storedBytes: keptBytes + leftBytes }
      },
      clock,
      log,
    })
  }

  #newSchedule(): PruneSchedule | undefined {
    const { prune, settings, clock, log } = this.#deps
    if (prune === undefined || !settings.prune.enabled) return undefined
    return new PruneSchedule({ settings: settings.prune, pruner: this.pruner, note: prune.note, clock, log })
  }

  async #loadCatalog(): Promise<void> {
    const { store, clock, log } = this.#deps
    try {
      await loadCatalog(this.catalog, store, clock, log)
    } catch (error) {
      log.error('could not read the whole store', { error })
    }
  }

  #newMender(files: StoreFiles): Mender {
    const { store, upstreams, settings, log } = this.#deps
    const [catalog, fills, manifests, publisher] = [this.catalog, this.#fills, this.manifests, this.#publisher]
    return new Mender({ catalog, store, files, fills, manifests, publisher, upstreams, settings, log })
  }

  #newScrub(): Scrub | undefined {
    const { scrub, store, space, clock, log } = this.#deps
    const settings = this.#deps.settings.scrub
    const mender = this.#mender
    if (scrub === undefined || mender === undefined || settings.everyMs === 0) return undefined
    const { files, notes } = scrub
    const [catalog, fills, completes] = [this.catalog, this.#fills, this.#mayPrefetch]
    return new Scrub({ settings, files, notes, store, catalog, fills, mender, space, completes, clock, log })
  }
}
