/**
 * Holding a store: at once where that is possible, and otherwise as soon as it is, as when another process that holds it ends, or its file system is
 * made writable. Until then the store is closed: nothing is written to it.
 */
import { OVER } from '../async/over.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { DiskSpace } from './disk-space.ts'
import { isMissing } from './file.ts'
import { describeHolder, type LockHolder, lockHolder, StoreLock, StoreLockedError } from './lock.ts'
import type { StorageTrouble } from './space.ts'
import { storageTroubleOf } from './trouble.ts'

/** How often it is tried to get what another holds. */
const RETRY_MS = 500
/** A holder that says nothing holds the store all the same. */
const ANSWER_MS = 1_000

export type StoreHoldDeps = {
  readonly directory: string
  readonly self: LockHolder
  readonly space: Pick<DiskSpace, 'open' | 'close'>
  /** Whether there is a store that could be served from, even if it cannot be written to. */
  readonly isStore: () => Promise<boolean>
  /** Makes what is missing of the store. @throws Error, caused by the system's, if it cannot be written to */
  readonly makeReady: () => Promise<void>
  /** Clears away what earlier holders left. */
  readonly tidy: () => Promise<void>
  readonly clock: Clock
  readonly log: Log
}

export class StoreHold {
  readonly #deps: StoreHoldDeps
  readonly #stopping = new AbortController()
  #lock: StoreLock | undefined
  #waiting: Promise<unknown> = Promise.resolve()

  constructor(deps: StoreHoldDeps) {
    this.#deps = deps
  }

  /**
   * Tries it once; where it cannot be held at present, closes it.
   * @returns whether it is held
   * @throws what `makeReady` or the lock throws, if there is no store that could be served from, or no waiting would mend it
   */
  async begin(): Promise<boolean> {
    const failure = await this.#try()
    if (failure === undefined) return true
    const trouble = troubleOf(failure.error)
    if (trouble === undefined || trouble.kind === 'failing' || !(await this.#deps.isStore())) throw failure.error
    this.#deps.space.close(trouble)
    return false
  }

  /**
   * Goes on trying until it is held or stopped. Never rejects.
   * @param onHeld what is to be done before the store is opened
   * @returns whether it is held
   */
  wait(onHeld: () => Promise<void>): Promise<boolean> {
    const waiting = this.#wait(onHeld)
    this.#waiting = waiting
    return waiting
  }

  /** Stops waiting for it; what is held stays held. */
  async giveUp(): Promise<void> {
    this.#stopping.abort(OVER)
    await this.#waiting
  }

  /** Lets go of it. */
  async release(): Promise<void> {
    await this.giveUp()
    await this.#lock?.release()
  }

  async #wait(onHeld: () => Promise<void>): Promise<boolean> {
    const { space, clock, log } = this.#deps
    while (await clock.sleep(RETRY_MS, this.#stopping.signal)) {
      const failure = await this.#try()
      if (failure !== undefined) {
        space.close(troubleOf(failure.error) ?? { kind: 'failing', why: String(failure.error) })
        continue
      }
      await onHeld().catch((error: unknown) => log.error('could not take over all that is in the store', { error }))
      space.open()
      return true
    }
    return false
  }

  /** Undefined if it is held now. Looks before it locks: while another holds the store not even an attempt is to leave anything in it. */
  async #try(): Promise<{ readonly error: unknown } | undefined> {
    const { directory, self, makeReady, tidy, clock, log } = this.#deps
    try {
      const holder = await this.#holder()
      if (holder !== undefined) throw new StoreLockedError(directory, holder === 'unknown' ? undefined : holder)
      await makeReady()
      this.#lock = await StoreLock.acquire(directory, { self, waitMs: 0, clock, answerMs: ANSWER_MS })
    } catch (error) {
      return { error }
    }
    await tidy().catch((error: unknown) => log.warn('could not clear away what earlier processes left', { error }))
    return undefined
  }

  async #holder(): Promise<LockHolder | 'unknown' | undefined> {
    try {
      return await lockHolder(this.#deps.directory, ANSWER_MS)
    } catch (error) {
      if (isMissing(error)) return undefined // the directory is yet to be made
      throw error
    }
  }
}

function troubleOf(error: unknown): StorageTrouble | undefined {
  if (!(error instanceof StoreLockedError)) return storageTroubleOf(error)
  return { kind: 'held', why: `the store is in use by ${describeHolder(error.holder)}; it is taken over when that ends` }
}
