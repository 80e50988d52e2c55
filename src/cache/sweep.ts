/** Clears the spool of downloads that nobody came back for: at start, and once a day. */
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Digest } from '../oci/digest.ts'
import type { Space } from '../store/space.ts'
import type { SpoolDirectory } from '../store/spool.ts'
import type { BlobStore } from '../store/store.ts'

const EVERY_MS = 24 * 3600_000

export type SweepDeps = {
  readonly spools: SpoolDirectory
  readonly store: Pick<BlobStore, 'openBlob'>
  readonly space: Space
  readonly clock: Clock
  readonly log: Log
  /** How old what goes must be. */
  readonly olderThanMs: number
}

export class Sweep {
  readonly #deps: SweepDeps
  readonly #stopping = new AbortController()
  #loop = Promise.resolve()

  constructor(deps: SweepDeps) {
    this.#deps = deps
  }

  start(): void {
    this.#loop = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#loop
  }

  async #run(): Promise<void> {
    do await this.#once()
    while (await this.#deps.clock.sleep(EVERY_MS, this.#stopping.signal))
  }

  /** What another process holds is that one's to clear. */
  async #once(): Promise<void> {
    const { spools, store, space, log, olderThanMs } = this.#deps
    if (space.trouble?.kind === 'held' || space.trouble?.kind === 'readOnly') return
    try {
      const { files, bytes } = await spools.removeStale(olderThanMs, (digest) => isStored(store, digest))
      if (files > 0) log.info('cleared away downloads that nobody came back for', { files, bytes })
    } catch (error) {
      log.error('could not clear the spool', { error })
    }
  }
}

export async function isStored(store: Pick<BlobStore, 'openBlob'>, digest: Digest): Promise<boolean> {
  const stored = await store.openBlob(digest)
  stored?.close()
  return stored !== undefined
}
