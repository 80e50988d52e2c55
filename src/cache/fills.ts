/** All fills of the server: one per digest, a bounded number at once, background work behind clients' requests. */
import type { Log } from '../observe/log.ts'
import type { Digest } from '../oci/digest.ts'
import type { Spool } from '../store/spool.ts'
import type { Store } from '../store/store.ts'
import type { Catalog } from './catalog.ts'
import { Fill, type FillDeps } from './fill.ts'
import { HeldBytes } from './receive.ts'
import type { SmallBlobs } from './small-blobs.ts'
import type { Source } from './sources.ts'

export type FillsDeps = Omit<FillDeps, 'publish' | 'held'> & {
  readonly store: Store
  readonly catalog: Catalog
  readonly smallBlobs: SmallBlobs
  readonly log: Log
}

type Priority = 'client' | 'background'

export class Fills {
  readonly #deps: FillsDeps
  readonly #fills = new Map<Digest, Fill>()
  readonly #held = new HeldBytes()
  readonly #queues: Readonly<Record<Priority, Set<Fill>>> = { client: new Set(), background: new Set() }
  readonly #running = new Map<Fill, Priority>()
  /** Verified, readable, on their way into the store. */
  readonly #publishing = new Set<Fill>()
  /** Ends of runs. A fill that follows a failed one waits for it, since both have the same spool file. */
  readonly #ended = new Map<Digest, Promise<void>>()
  #stopped = false

  constructor(deps: FillsDeps) {
    this.#deps = deps
  }

  /** The fill of a digest, running, queued or not yet published; undefined if there is none that could be joined. */
  of(digest: Digest): Fill | undefined {
    const fill = this.#fills.get(digest)
    return fill?.failed === true ? undefined : fill
  }

  /** Starts a fill or joins the one there is. A client that joins a queued background fill makes it a client's. */
  start(digest: Digest, source: Source, priority: Priority): { readonly fill: Fill; readonly joined: boolean } {
    const known = this.of(digest)
    if (known !== undefined) {
      known.addSource(source)
      known.inBackground ||= priority === 'background'
      if (priority === 'client' && this.#queues.background.delete(known)) this.#enqueue(known, 'client')
      return { fill: known, joined: true }
    }
    const publish = (verified: Digest, spool: Spool) => this.#publish(verified, spool)
    const fill = new Fill(digest, this.#deps.catalog.blobSize(digest, source.registry), { ...this.#deps, held: this.#held, publish })
    fill.addSource(source)
    fill.inBackground = priority === 'background'
    if (this.#stopped) fill.stop()
    else {
      this.#fills.set(digest, fill)
      this.#enqueue(fill, priority)
    }
    return { fill, joined: false }
  }

  /** Whoever waited for a fill that never began has gone: it need not begin, or not before others. */
  abandonIfQueued(fill: Fill): void {
    if (fill.waiters > 0 || !this.#queues.client.delete(fill)) return
    if (fill.inBackground) this.#enqueue(fill, 'background')
    else this.#fills.delete(fill.digest)
  }

  /** Ends what runs; resolves when nothing writes any more and everything verified is published. */
  async stop(): Promise<void> {
    this.#stopped = true
    for (const queue of Object.values(this.#queues)) {
      for (const fill of queue) fill.stop()
      queue.clear()
    }
    for (const fill of this.#running.keys()) fill.stop()
    await Promise.all(this.#ended.values())
  }

  #enqueue(fill: Fill, priority: Priority): void {
    this.#queues[priority].add(fill)
    this.#startNext()
  }

  #startNext(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) this.#run(...next)
  }

  #next(): [Fill, Priority] | undefined {
    const { fillsAtOnce, backgroundFillsAtOnce, unpublishedFills } = this.#deps.budgets
    if (this.#stopped || this.#running.size >= fillsAtOnce || this.#publishing.size >= unpublishedFills) return undefined
    const background = [...this.#running.values()].filter((priority) => priority === 'background').length
    for (const priority of ['client', 'background'] as const) {
      if (priority === 'background' && background >= backgroundFillsAtOnce) return undefined
      const [fill] = this.#queues[priority]
      if (fill === undefined) continue
      this.#queues[priority].delete(fill)
      return [fill, priority]
    }
    return undefined
  }

  #run(fill: Fill, priority: Priority): void {
    this.#running.set(fill, priority)
    const before = this.#ended.get(fill.digest)
    const ended = (before === undefined ? fill.run() : before.then(() => fill.run())).then(() => {
      this.#running.delete(fill)
      this.#publishing.delete(fill)
      if (this.#fills.get(fill.digest) === fill) this.#fills.delete(fill.digest)
      if (this.#ended.get(fill.digest) === ended) this.#ended.delete(fill.digest)
      this.#startNext()
    })
    this.#ended.set(fill.digest, ended)
  }

  /** A fill that is verified makes room for the next one while it is published. */
  async #publish(digest: Digest, spool: Spool): Promise<void> {
    const fill = this.#fills.get(digest)
    if (fill !== undefined && this.#running.delete(fill)) this.#publishing.add(fill)
    this.#startNext()
    try {
      await spool.commit(this.#deps.store, digest)
      if (spool.whole !== undefined) this.#deps.smallBlobs.keep(digest, spool.whole)
      this.#deps.log.debug('blob stored', { digest })
    } finally {
      this.#fills.delete(digest) // before the fill lets go of its spool: nobody joins it any more
    }
  }
}
