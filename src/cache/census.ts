/** How much lies in the store, counted in the background when somebody wants to know: whoever asks gets the last count, and never waits for a disk. */
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Store } from '../store/store.ts'

export type CensusDeps = {
  readonly store: Pick<Store, 'listBlobs'>
  /** How many damaged files were set aside. */
  readonly quarantined: () => Promise<number>
  readonly clock: Pick<Clock, 'monotonic'>
  readonly log: Log
}

export type StoreCount = { readonly blobs: number; readonly bytes: number; readonly quarantined: number }

const LEAST_PAUSE_MS = 10_000
/** Between two counts there is so many times as long as one takes. */
const PAUSE_TIMES = 100

export class Census {
  readonly #deps: CensusDeps
  #last: StoreCount | undefined
  #counting = false
  #nextMs = Number.NEGATIVE_INFINITY

  constructor(deps: CensusDeps) {
    this.#deps = deps
  }

  /** The last count, undefined before the first; begins another one where that is old. */
  look(): StoreCount | undefined {
    if (!this.#counting && this.#deps.clock.monotonic() >= this.#nextMs) void this.#count()
    return this.#last
  }

  async #count(): Promise<void> {
    const { store, quarantined, clock, log } = this.#deps
    const began = clock.monotonic()
    this.#counting = true
    try {
      let blobs = 0
      let bytes = 0
      for await (const { sizeBytes } of store.listBlobs()) {
        blobs++
        bytes += sizeBytes
      }
      this.#last = { blobs, bytes, quarantined: await quarantined() }
    } catch (error) {
      log.debug('could not count what is stored', { error })
    } finally {
      this.#counting = false
      this.#nextMs = clock.monotonic() + Math.max(LEAST_PAUSE_MS, PAUSE_TIMES * (clock.monotonic() - began))
    }
  }
}
