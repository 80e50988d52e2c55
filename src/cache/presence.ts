/**
 * Sees that what is served from memory is still in the store: somebody may remove files while the server runs, and a restart would lose what only
 * memory has. Looks behind the clients' backs, each time some seconds after they asked; what is missing is written again, or is a miss from then on.
 */
import { OVER } from '../async/over.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Digest } from '../oci/digest.ts'
import type { Space } from '../store/space.ts'
import type { Store } from '../store/store.ts'
import type { Catalog } from './catalog.ts'
import type { Fills } from './fills.ts'
import type { Publisher } from './publisher.ts'
import type { SmallBlobs } from './small-blobs.ts'

export type PresenceDeps = {
  readonly catalog: Catalog
  readonly store: Store
  readonly space: Pick<Space, 'trouble'>
  readonly fills: Fills
  readonly publisher: Publisher
  readonly smallBlobs: SmallBlobs
  /** Between two looks. */
  readonly everyMs: number
  readonly clock: Clock
  readonly log: Log
}

/** What is looked for at one time; what clients ask for beyond that is looked for when they ask again. */
const MOST_DUE = 4096
const LOOKS_AT_ONCE = 4

export class Presence {
  readonly #deps: PresenceDeps
  /** What clients were given from memory since the last look. */
  readonly #due = new Set<Digest>()
  readonly #stopping = new AbortController()
  /** Runs while something is due. */
  #looking: Promise<void> | undefined

  constructor(deps: PresenceDeps) {
    this.#deps = deps
  }

  /** Has a manifest with its references, or a small blob, looked for at the next look. This is all that it costs a hit. */
  lookFor(digest: Digest): void {
    if (this.#due.size >= MOST_DUE) return
    this.#due.add(digest)
    this.#looking ??= this.#lookWhileDue()
  }

  async stop(): Promise<void> {
    this.#stopping.abort(OVER)
    await this.#looking
  }

  /** Where nothing can be written there is nothing to be done, and what is due stays so. */
  async #lookWhileDue(): Promise<void> {
    const { clock, everyMs, space } = this.#deps
    while (this.#due.size > 0 && (await clock.sleep(everyMs, this.#stopping.signal))) if (space.trouble === undefined) await this.#look()
    this.#looking = undefined
  }

  /** Some at once, up to the first that cannot be seen: then something is wrong with the disk. Never rejects. */
  async #look(): Promise<void> {
    const due = [...this.#due].values()
    this.#due.clear()
    let failed = false
    const lookAtSome = async () => {
      for (const digest of due) {
        if (failed || this.#stopping.signal.aborted) return
        await (this.#deps.catalog.manifest(digest) === undefined ? this.#lookForBlob(digest) : this.#lookForManifest(digest))
      }
    }
    const fail = (error: unknown) => {
      failed = true
      this.#deps.log.warn('cannot see whether what is served from memory is still stored', { error })
    }
    await Promise.all(Array.from({ length: LOOKS_AT_ONCE }, () => lookAtSome().catch(fail)))
  }

  async #lookForManifest(digest: Digest): Promise<void> {
    const { catalog, store, publisher, log } = this.#deps
    if (publisher.isUnwritten(digest)) return // and its references follow it
    if (!(await store.hasRecord(digest))) {
      if (!publisher.restore(digest)) {
        log.warn('a manifest is gone from the store, and from memory', { digest })
        catalog.forget(digest)
        return
      }
      log.info('a manifest is gone from the store; it is written again from memory', { digest })
    }
    for (const { reference } of [...catalog.refsOf(digest)]) {
      if (this.#stopping.signal.aborted) return
      if (!(await store.hasRef(reference))) publisher.saveRef(reference)
    }
  }

  /** What is being downloaded is not stored yet; what memory has lost meanwhile is a miss anyway. */
  async #lookForBlob(digest: Digest): Promise<void> {
    const { store, fills, smallBlobs, log } = this.#deps
    if (fills.of(digest) !== undefined || smallBlobs.get(digest) === undefined) return
    const stored = await store.openBlob(digest)
    stored?.close()
    if (stored === undefined && (await fills.restore(digest)))
      log.info('a blob is gone from the store; it is written again from memory', { digest })
  }
}
