/**
 * Holding a store: at once where that is possible, and otherwise as soon as it is, as when another process that holds it ends, or its file system is
 * made writable. Until then the store is closed: nothing is written to it.
 *
 * Somebody may remove the lock under its holder, alone or with the whole store; then the store is free for anybody. So the holder looks whether its
 * lock is still there, every now and then and before it writes. Where it is gone, and nobody was faster, the holder takes the store again.
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

export type HoldBudgets = {
  /** How often a holder that writes nothing looks whether its lock is still there. */
  readonly keepMs: number
  /** How long a holder that writes believes what it saw. Who takes over waits as long before writing: by then the last one has noticed. */
  readonly believeMs: number
}

export const HOLD_BUDGETS: HoldBudgets = { keepMs: 2_000, believeMs: 100 }

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
  readonly budgets?: Partial<HoldBudgets>
}

export class StoreHold {
  readonly #deps: StoreHoldDeps
  readonly #budgets: HoldBudgets
  #isStopping = false
  /** Ends what `keep` sleeps. */
  #pause = new AbortController()
  #lock: StoreLock | undefined
  #term = 0
  /** When the lock was seen last. */
  #seenMs = Number.NEGATIVE_INFINITY
  #looking: Promise<void> | undefined
  #keeping: Promise<void> = Promise.resolve()

  constructor(deps: StoreHoldDeps) {
    this.#deps = deps
    this.#budgets = { ...HOLD_BUDGETS, ...deps.budgets }
  }

  /** Counts how often it was taken: in between, somebody else may have held the store. */
  get term(): number {
    return this.#term
  }

  /**
   * Tries it once; where it cannot be held at present, closes it.
   * @returns whether it is held
   * @throws what `makeReady` or the lock throws, if there is no store that could be served from, or no waiting would mend it
   */
  async begin(): Promise<boolean> {
    const failure = await this.#try()
    if (failure === undefined) {
      await this.#tidy()
      return true
    }
    const trouble = troubleOf(failure.error)
    if (trouble === undefined || trouble.kind === 'failing' || !(await this.#deps.isStore())) throw failure.error
    this.#deps.space.close(trouble)
    return false
  }

  /**
   * After `begin`, until it is given up: sees to it that what is held stays held, and what is not is taken over as soon as that can be.
   * @param onTaken what is to be done before a store that was another's is opened
   */
  keep(onTaken: () => Promise<void>): void {
    this.#keeping = this.#keep(onTaken)
  }

  /**
   * Before a write: looks whether what is held is still held, unless it has been seen just now. Otherwise takes it again, or closes the store. Never rejects.
   * @returns undefined where there is nothing to wait for
   */
  assure(): Promise<void> | undefined {
    if (this.#looking !== undefined) return this.#looking
    if (this.#lock === undefined || this.#deps.clock.monotonic() - this.#seenMs < this.#budgets.believeMs) return undefined
    return this.look()
  }

  /** As `assure`, however short ago it was seen. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  /** Waits and looks no more by itself; what is held stays held. */
  async giveUp(): Promise<void> {
    this.#isStopping = true
    this.#pause.abort(OVER)
    await this.#keeping
  }

  /** Lets go of it. */
  async release(): Promise<void> {
    await this.giveUp()
    await this.#looking
    await this.#lock?.release()
    this.#lock = undefined
  }

  async #keep(onTaken: () => Promise<void>): Promise<void> {
    while (!this.#isStopping) {
      this.#pause = new AbortController()
      await this.#deps.clock.sleep(this.#lock === undefined ? RETRY_MS : this.#budgets.keepMs, this.#pause.signal)
      await this.#looking
      if (this.#isStopping) return
      if (this.#lock === undefined) await this.#takeOver(onTaken)
      else await this.look()
    }
  }

  async #takeOver(onTaken: () => Promise<void>): Promise<void> {
    const { space, clock, log } = this.#deps
    const failure = await this.#try()
    if (failure !== undefined) return space.close(troubleAfter(failure.error))
    if (!(await clock.sleep(this.#budgets.believeMs, this.#pause.signal))) return
    await this.#tidy()
    await onTaken().catch((error: unknown) => log.error('could not take over all that is in the store', { error }))
    await this.look() // that may have taken its time
    if (this.#lock !== undefined) space.open()
  }

  async #look(): Promise<void> {
    const { space, clock, log } = this.#deps
    const lock = this.#lock
    const beganMs = clock.monotonic()
    if (lock === undefined) return
    if (await lock.isInPlace()) {
      this.#seenMs = beganMs
      return
    }
    this.#lock = undefined
    await lock.release() // nobody answers any more behind a lock that was only moved or touched: it can be taken again, too
    const failure = await this.#try()
    if (failure === undefined)
      return log.warn('the lock of the store was removed or replaced; nobody has taken the store, which is held again')
    const { kind, why } = troubleAfter(failure.error)
    space.close({ kind, why: `the lock of the store was removed or replaced, and ${why}` })
    this.#pause.abort(OVER)
  }

  /** Undefined if it is held now. Looks before it locks: while another holds the store not even an attempt is to leave anything in it. */
  async #try(): Promise<{ readonly error: unknown } | undefined> {
    const { directory, self, makeReady, clock } = this.#deps
    try {
      const holder = await this.#holder()
      if (holder !== undefined) throw new StoreLockedError(directory, holder === 'unknown' ? undefined : holder)
      await makeReady()
      const beganMs = clock.monotonic()
      this.#lock = await StoreLock.acquire(directory, { self, waitMs: 0, clock, answerMs: ANSWER_MS })
      this.#seenMs = beganMs
      this.#term++
      return undefined
    } catch (error) {
      return { error }
    }
  }

  async #tidy(): Promise<void> {
    const { tidy, log } = this.#deps
    await tidy().catch((error: unknown) => log.warn('could not clear away what earlier processes left', { error }))
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

/** Where it was held before, or will be: whatever goes wrong is no reason to end. */
function troubleAfter(error: unknown): StorageTrouble {
  return troubleOf(error) ?? { kind: 'failing', why: String(error) }
}

function troubleOf(error: unknown): StorageTrouble | undefined {
  if (!(error instanceof StoreLockedError)) return storageTroubleOf(error)
  return { kind: 'held', why: `the store is in use by ${describeHolder(error.holder)}; it is taken over when that ends` }
}
