/** All fills of the server: one per digest, a bounded number at once, background work behind clients' requests. */
import { Limiter } from '../async/limiter.ts'
import { Lru } from '../async/lru.ts'
import { OVER } from '../async/over.ts'
import type { Log } from '../observe/log.ts'
import type { Digest } from '../oci/digest.ts'
import type { Registry } from '../oci/name.ts'
import type { Store } from '../store/store.ts'
import { UpstreamError } from '../upstream/error.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { troubleOf } from './answer.ts'
import type { Catalog } from './catalog.ts'
import { Fill, type FillDeps } from './fill.ts'
import { FillQueue } from './fill-queue.ts'
import { type FillSpool, WindowMemory } from './fill-spool.ts'
import { HeldBytes } from './receive.ts'
import type { SmallBlobs } from './small-blobs.ts'
import { type Source, sourceName } from './sources.ts'
import { logOf } from './started-by.ts'

export type FillsDeps = Omit<FillDeps, 'publish' | 'held' | 'rehashes' | 'windows' | 'onWaiting'> & {
  readonly store: Store
  readonly catalog: Catalog
  readonly smallBlobs: SmallBlobs
  readonly log: Log
}

type Priority = 'client' | 'background'

/** A fill at one moment, for people who look. */
export type FillView = {
  readonly digest: Digest
  /** `waiting`: for an upstream that does not send. `publishing`: it is verified, and on its way into the store. */
  readonly state: 'running' | 'waiting' | 'publishing' | 'queued'
  /** As `docker.io/library/alpine`, the first one first. */
  readonly sources: readonly string[]
  readonly writtenBytes: number
  readonly sizeBytes: number | undefined
  /** How many requests wait for it or read from it. */
  readonly waiters: number
}

/** How often a fill in the background is put off because its registry is in trouble. */
const MAX_PUT_OFF = 5

export class Fills {
  readonly #deps: FillsDeps
  readonly #ofFill: FillDeps
  readonly #fills = new Map<Digest, Fill>()
  readonly #queues: Readonly<Record<Priority, FillQueue>> = { client: new FillQueue(), background: new FillQueue() }
  readonly #running = new Map<Fill, Priority>()
  /** Verified, readable, on their way into the store. */
  readonly #publishing = new Set<Fill>()
  /** Ends of runs. A fill that follows another one waits for it, if both have the same spool file. */
  readonly #ended = new Map<Digest, Promise<void>>()
  /** Registries in trouble that fills in the background wait for. */
  readonly #awaited = new Set<Registry>()
  /** Small blobs that are in memory only. */
  readonly #unstored = new Lru<Digest, Digest>({ capacity: 4096 })
  #storingAgain = Promise.resolve()
  readonly #stopping = new AbortController()

  /** Told when there may be fewer of those that `queuedInBackground` counts. */
  onBackgroundMoved: () => void = () => {}

  constructor(deps: FillsDeps) {
    this.#deps = deps
    this.#ofFill = {
      ...deps,
      held: new HeldBytes(),
      windows: new WindowMemory(),
      rehashes: new Limiter(1),
      publish: (fill, spool) => this.#publish(fill, spool),
      onWaiting: () => this.#startNext(),
    }
  }

  /** The fill of a digest, running, queued or not yet published; undefined if there is none that could be joined. */
  of(digest: Digest): Fill | undefined {
    const fill = this.#fills.get(digest)
    return fill?.isClosed === true ? undefined : fill
  }

  /**
   * Starts a fill or joins the one there is. A client that joins a queued background fill makes it a client's.
   * @param startedBy the id of the request that wants it, which stands in the fill's lines in the log if it starts one
   */
  start(digest: Digest, source: Source, priority: Priority, startedBy?: string): { readonly fill: Fill; readonly joined: boolean } {
    const known = this.of(digest)
    this.#deps.metrics?.fill(known === undefined ? 'started' : 'joined')
    if (known !== undefined) {
      known.addSource(source)
      known.inBackground ||= priority === 'background'
      if (priority === 'client' && this.#queues.background.delete(known)) this.#enqueue(known, 'client')
      return { fill: known, joined: true }
    }
    const fill = this.#create(digest, source, startedBy)
    this.#begin(fill, priority)
    return { fill, joined: false }
  }

  /**
   * Fills in the background that have not begun: of one registry, or of all those that are not in trouble. Each takes memory, and time whenever the next
   * one is looked for: whoever has thousands to start counts first.
   */
  queuedInBackground(registry?: Registry): number {
    const { background } = this.#queues
    if (registry !== undefined) return background.countOf(registry)
    let queued = background.size
    for (const troubled of this.#awaited) queued -= background.countOf(troubled)
    return queued
  }

  /** All there are at this moment: those that run first, then those in line. */
  views(): FillView[] {
    return [
      ...Array.from(this.#running.keys(), (fill) => viewOf(fill, fill.isWaiting ? 'waiting' : 'running')),
      ...Array.from(this.#publishing, (fill) => viewOf(fill, 'publishing')),
      ...Object.values(this.#queues).flatMap((queue) => Array.from(queue, (fill) => viewOf(fill, 'queued'))),
    ]
  }

  /** Whoever waited for a fill that never began has gone: it need not begin, or not before others. */
  abandonIfQueued(fill: Fill): void {
    if (fill.waiters > 0 || !this.#queues.client.delete(fill)) return
    if (fill.inBackground) this.#enqueue(fill, 'background')
    else this.#forget(fill)
  }

  /** What is being downloaded, waits to be, or is on its way into the store. */
  underWay(): ReadonlySet<Digest> {
    return new Set(this.#fills.keys())
  }

  /** Whether it is in memory only, or was until others took its place there. */
  isUnstored(digest: Digest): boolean {
    return this.#unstored.get(digest) !== undefined
  }

  /** Stores a small blob once more that memory still has right, as soon as there is room. Never rejects. @returns whether memory has it right */
  async restore(digest: Digest): Promise<boolean> {
    const { smallBlobs, space, log } = this.#deps
    const bytes = smallBlobs.rightBytes(digest)
    if (bytes === undefined) return false
    await this.#publishSmall(digest, bytes).catch((error: unknown) => {
      space.failed(error)
      log[space.trouble === undefined ? 'error' : 'debug']('a blob could not be stored again', { digest, error })
    })
    return true
  }

  /** Stores the small blobs for which there was no room, as far as they are still in memory. */
  storeAgain(): Promise<void> {
    this.#storingAgain = this.#storingAgain.then(() => this.#storeUnstored())
    return this.#storingAgain
  }

  async #storeUnstored(): Promise<void> {
    for (const digest of this.#unstored.values()) {
      this.#unstored.delete(digest)
      if (!this.#stopping.signal.aborted) await this.restore(digest)
    }
  }

  /** Ends what runs; resolves when nothing writes any more and everything verified is published. */
  async stop(): Promise<void> {
    this.#stopping.abort(OVER)
    for (const queue of Object.values(this.#queues)) {
      for (const fill of queue) fill.stop()
      queue.clear()
    }
    for (const fill of this.#running.keys()) fill.stop()
    await Promise.all([...this.#ended.values(), this.#storingAgain])
  }

  #create(digest: Digest, source: Source, startedBy: string | undefined): Fill {
    const { log, catalog } = this.#deps
    const deps = { ...this.#ofFill, log: logOf(log, startedBy) }
    return new Fill(digest, source, catalog.blobSize(digest, source.registry), deps, startedBy)
  }

  #begin(fill: Fill, priority: Priority): void {
    fill.inBackground = priority === 'background'
    if (this.#stopping.signal.aborted) {
      fill.stop()
      return
    }
    this.#fills.set(fill.digest, fill)
    this.#enqueue(fill, priority)
  }

  #enqueue(fill: Fill, priority: Priority): void {
    this.#queues[priority].add(fill)
    this.#startNext()
  }

  #startNext(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) this.#run(...next)
    this.onBackgroundMoved()
  }

  #next(): [Fill, Priority] | undefined {
    const { fillsAtOnce, fillsInAll, backgroundFillsAtOnce, unpublishedFills } = this.#deps.budgets
    if (this.#stopping.signal.aborted || this.#publishing.size >= unpublishedFills) return undefined
    const inUse = this.#inUse()
    if (inUse.all >= fillsAtOnce || (this.#running.size >= fillsInAll && !this.#makePlace())) return undefined
    for (const priority of ['client', 'background'] as const) {
      if (priority === 'background' && inUse.background >= backgroundFillsAtOnce) return undefined
      for (const fill of this.#queues[priority]) {
        if (!this.#mayBegin(fill, priority, inUse)) continue
        this.#queues[priority].delete(fill)
        return [fill, priority]
      }
    }
    return undefined
  }

  /** A fill that only waits for an upstream is in nobody's way, but for those of the same registry. */
  #inUse(): InUse {
    const inUse: InUse = { all: 0, background: 0, of: new Map() }
    for (const [fill, priority] of this.#running) {
      const registry = fill.registry
      inUse.of.set(registry, (inUse.of.get(registry) ?? 0) + 1)
      if (priority === 'background') inUse.background++
      if (!fill.isWaiting) inUse.all++
    }
    return inUse
  }

  /** Ends a download that hardly comes and that nobody waits for: what came of it is continued when somebody does. @returns whether there was one */
  #makePlace(): boolean {
    if (this.#queues.client.size === 0) return false
    for (const fill of this.#running.keys()) {
      if (!fill.isWaiting || fill.waiters > 0 || fill.failure !== undefined) continue
      fill.stop(new UpstreamError('timeout', `${fill.digest} hardly came, nobody waited for it, and others needed its place`))
      return true
    }
    return false
  }

  /** One registry never takes all places, and what nobody waits for begins when its registry is well. */
  #mayBegin(fill: Fill, priority: Priority, inUse: InUse): boolean {
    const registry = fill.registry
    if ((inUse.of.get(registry) ?? 0) >= this.#deps.budgets.fillsOfOneRegistry) return false
    const upstream = priority === 'client' ? undefined : this.#upstream(registry)
    if (upstream === undefined || upstream.mayBeAsked('background')) return true
    if (!this.#awaited.has(registry)) {
      this.#awaited.add(registry)
      const wellAgain = () => {
        this.#awaited.delete(registry)
        this.#startNext()
      }
      upstream.untilMayBeAsked('background', this.#stopping.signal).then(wellAgain, () => {}) // it is rejected by our stop only
    }
    return false
  }

  #run(fill: Fill, priority: Priority): void {
    this.#running.set(fill, priority)
    const before = this.#ended.get(fill.digest)
    const ended = Promise.all([before, fill.run(before)]).then(() => {
      this.#running.delete(fill)
      this.#publishing.delete(fill)
      this.#forget(fill)
      if (this.#ended.get(fill.digest) === ended) this.#ended.delete(fill.digest)
      this.#putOffIfTroubled(fill, priority)
      this.#startNext()
    })
    this.#ended.set(fill.digest, ended)
  }

  /** What failed in the background because its registry is in trouble goes on when that is well again. */
  #putOffIfTroubled(failed: Fill, priority: Priority): void {
    const { digest, sources, failure, putOff, startedBy } = failed
    const [first] = sources
    if (priority === 'client' || first === undefined || troubleOf(failure) === undefined || putOff >= MAX_PUT_OFF) return
    const upstream = this.#upstream(first.registry)
    if (this.of(digest) !== undefined || upstream === undefined || upstream.mayBeAsked('background')) return
    const fill = this.#create(digest, first, startedBy)
    for (const source of sources) fill.addSource(source)
    fill.putOff = putOff + 1
    this.#begin(fill, 'background')
  }

  /** Undefined for a registry that the configuration closes: the fill itself will say so. */
  #upstream(registry: Registry): Upstream | undefined {
    try {
      return this.#deps.upstreams.of(registry)
    } catch (error) {
      if (troubleOf(error) === undefined) throw error
      return undefined
    }
  }

  #forget(fill: Fill): void {
    if (this.#fills.get(fill.digest) === fill) this.#fills.delete(fill.digest)
  }

  /** One that cannot be stored stays in memory as long as others stay there, and is stored when there is room again. @returns whether it is stored */
  async #publishSmall(digest: Digest, bytes: Buffer): Promise<boolean> {
    const { store, space, smallBlobs } = this.#deps
    const room = await space.reserve(bytes.byteLength)
    let stored = false
    try {
      if (room !== undefined) await store.putBlob(digest, bytes)
      room?.written(bytes.byteLength)
      stored = room !== undefined
      return stored
    } finally {
      room?.release()
      if (stored) this.#unstored.delete(digest)
      else this.#unstored.set(digest, digest)
      smallBlobs.keep(digest, bytes) // last: whoever finds it in memory may count on its file, if it is to have one
    }
  }

  /** A fill that is verified makes room for the next one while it is published. */
  async #publish(fill: Fill, spool: FillSpool): Promise<void> {
    const { digest } = fill
    if (this.#running.delete(fill)) this.#publishing.add(fill)
    this.#startNext()
    try {
      const stored =
        spool.whole === undefined ? await spool.commit(this.#deps.store).then(() => true) : await this.#publishSmall(digest, spool.whole)
      if (!stored) return
      logOf(this.#deps.log, fill.startedBy).debug('blob stored', { digest })
      this.#deps.metrics?.fill('stored')
    } finally {
      this.#forget(fill) // before the fill lets go of its spool: nobody joins it any more
    }
  }
}

function viewOf({ digest, sources, writtenBytes, sizeBytes, waiters }: Fill, state: FillView['state']): FillView {
  return { digest, state, sources: sources.map(sourceName), writtenBytes, sizeBytes, waiters }
}

/** Running fills. */
type InUse = { all: number; background: number; readonly of: Map<Registry, number> }
