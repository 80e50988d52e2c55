/**
 * Room on the store's disk: what is free, less what running fills have been promised, less what is kept in reserve; and why nothing can be stored
 * at present. A disk that failed is left alone for a while, and then asked with a small write whether it works again: no restart is needed. A blob that
 * is too large for what room there is, is no trouble as long as others fit.
 */
import { Expiring } from '../async/expiring.ts'
import { OVER } from '../async/over.ts'
import type { Reserve } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Disk } from './disk.ts'
import { sizeText } from './size-text.ts'
import type { Reservation, Space, StorageTrouble } from './space.ts'
import { storageTroubleOf } from './trouble.ts'

export type SpaceBudgets = {
  /** How long what the disk said of its room is believed. */
  readonly freshMs: number
  /** A disk that failed is left alone for so long; for longer each time that it fails soon after it seemed to work, up to twelve times that. */
  readonly restMs: number
  /** How long anybody waits for the disk to say anything; one that hangs counts as failing. */
  readonly patienceMs: number
  /** How long `look` waits for it. */
  readonly lookMs: number
  /** What happens again within so long happens soon: the disk fails, or the same blob does not fit. */
  readonly soonMs: number
  /** How often it is looked whether trouble has ended, where nobody asks. */
  readonly troubleMs: number
}

export const SPACE_BUDGETS: SpaceBudgets = {
  freshMs: 1_000,
  restMs: 5_000,
  patienceMs: 2_000,
  lookMs: 500,
  soonMs: 60_000,
  troubleMs: 30_000,
}

/** Full is a disk with less room than this above the reserve, or than 1 % of it, whichever is less; until there is twice as much. */
const NEARLY_NOTHING_BYTES = 16 * 1024 * 1024
/** Blobs that did not fit, and are not told again. */
const TOLD_AT_MOST = 1_000

export type DiskSpaceDeps = {
  readonly disk: Disk
  /** What is never used, until somebody says otherwise. */
  readonly reserve: Reserve
  readonly clock: Clock
  readonly log: Log
  readonly budgets?: Partial<SpaceBudgets>
  /** Called each time that trouble has ended. */
  readonly onRecovered?: () => void
}

export class DiskSpace implements Space {
  readonly #deps: DiskSpaceDeps
  readonly #budgets: SpaceBudgets
  /** Nothing may be written, whatever the disk says, until somebody opens it. */
  #closed: StorageTrouble | undefined
  /** The disk failed: until it took a write again. */
  #failure: { readonly trouble: StorageTrouble; readonly restUntilMs: number; readonly hung: boolean } | undefined
  /** Nearly nothing fits. */
  #full: StorageTrouble | undefined
  /** Above the reserve, when it was looked at last, less what was written since; what is reserved is not taken off. */
  #room: { bytes: number; readonly reserveBytes: number; readonly nearlyNothingBytes: number; readonly atMs: number } | undefined
  #reserve: Reserve
  #reservedBytes = 0
  /** What was written while the disk is being looked at: it may not have counted that. */
  #writtenMeanwhile = 0
  #looking: Promise<void> | undefined
  #restMs: number
  #recoveredMs = Number.NEGATIVE_INFINITY
  #told: StorageTrouble['kind'] | undefined
  /** Sizes of blobs that did not fit lately. */
  readonly #misfits: Expiring<number, true>
  #isStarted = false
  readonly #stopping = new AbortController()
  #watching: Promise<void> | undefined

  constructor(deps: DiskSpaceDeps) {
    this.#deps = deps
    this.#reserve = deps.reserve
    this.#misfits = new Expiring(deps.clock, TOLD_AT_MOST)
    this.#budgets = { ...SPACE_BUDGETS, ...deps.budgets }
    this.#restMs = this.#budgets.restMs
  }

  get trouble(): StorageTrouble | undefined {
    return this.#closed ?? this.#failure?.trouble ?? this.#full
  }

  /** Why nothing may be written, whatever the disk says. */
  get closed(): StorageTrouble | undefined {
    return this.#closed
  }

  /** Keeps so much free from now on; what running downloads were promised stays theirs. */
  keepFree(reserve: Reserve): void {
    this.#reserve = reserve
    this.#room = undefined
  }

  /** From now on it looks by itself whether trouble has ended, until it is stopped. */
  start(): void {
    this.#isStarted = true
    this.#watch()
  }

  async stop(): Promise<void> {
    this.#isStarted = false
    this.#stopping.abort(OVER)
    await this.#watching
  }

  /** Nothing may be written from now on: the store is another's, or cannot be held. */
  close(trouble: StorageTrouble): void {
    this.#closed = trouble
    this.#tell()
  }

  open(): void {
    this.#closed = undefined
    this.#failure = undefined
    this.#room = undefined
    this.#tell()
  }

  async reserve(bytes: number): Promise<Reservation | undefined> {
    return (await this.#take(bytes)) ? this.#reservation(bytes) : undefined
  }

  failed(error: unknown): void {
    const trouble = storageTroubleOf(error)
    if (trouble !== undefined && this.#closed === undefined) this.#fail(trouble, error)
  }

  shortage(bytes: number): string | undefined {
    const lackingBytes = bytes - Math.max(0, this.#freeBytes)
    if (this.#room === undefined || lackingBytes <= 0) return undefined
    return `its disk has no room: ${this.#roomText()}; ${sizeText(lackingBytes)} more are needed: make room on it, or lower minFree`
  }

  /** Asks the disk again where what is known is old, so that `trouble` says how things are now. Never rejects, and never waits for long. */
  async look(): Promise<void> {
    if (this.#closed === undefined && !this.#isResting && !this.#isFresh) await this.#isLate(this.#lookPatiently(), this.#budgets.lookMs)
  }

  /** @param allBytes with what the same blob has been promised before */
  async #take(bytes: number, allBytes = bytes): Promise<boolean> {
    if (this.#closed !== undefined || this.#isResting) return false
    if (!this.#isFresh || bytes > this.#freeBytes) await this.#lookPatiently()
    if (this.#closed !== undefined || this.#failure !== undefined) return false
    if (bytes > this.#freeBytes) {
      this.#refuse(allBytes)
      return false
    }
    this.#reservedBytes += bytes
    return true
  }

  #reservation(bytes: number): Reservation {
    let left = bytes
    let allBytes = bytes
    return {
      written: (count) => {
        const known = Math.min(count, left)
        left -= known
        this.#reservedBytes -= known
        if (this.#room !== undefined) this.#room.bytes -= count
        this.#writtenMeanwhile += count
      },
      grow: async (more) => {
        if (!(await this.#take(more, allBytes + more))) return false
        left += more
        allBytes += more
        return true
      },
      release: () => {
        this.#reservedBytes -= left
        left = 0
      },
    }
  }

  get #isResting(): boolean {
    return this.#failure !== undefined && this.#deps.clock.monotonic() < this.#failure.restUntilMs
  }

  get #isFresh(): boolean {
    return this.#failure === undefined && this.#room !== undefined && this.#deps.clock.monotonic() - this.#room.atMs < this.#budgets.freshMs
  }

  get #freeBytes(): number {
    return (this.#room?.bytes ?? 0) - this.#reservedBytes
  }

  /** Waits for the look that is under way, or for a new one; one that takes too long goes on by itself. */
  async #lookPatiently(): Promise<void> {
    this.#looking ??= this.#lookNow().finally(() => {
      this.#looking = undefined
    })
    const late = await this.#isLate(this.#looking, this.#budgets.patienceMs)
    const why = `the disk of the store did not answer within ${this.#budgets.patienceMs} ms`
    if (late) this.#fail({ kind: 'failing', why }, undefined, true)
  }

  /** Waits for `work` no longer than `ms`. */
  async #isLate(work: Promise<void>, ms: number): Promise<boolean> {
    const over = new AbortController()
    const late = await Promise.race([work.then(() => false), this.#deps.clock.sleep(ms, over.signal)])
    over.abort(OVER)
    return late
  }

  async #lookNow(): Promise<void> {
    const { disk, clock } = this.#deps
    const reserve = this.#reserve
    const before = this.#failure
    try {
      if (before !== undefined) await disk.tryToWrite()
      this.#writtenMeanwhile = 0
      const { availableBytes, totalBytes } = await disk.room()
      const reserveBytes = Math.min(reserve.bytes, Math.floor((totalBytes * reserve.percent) / 100))
      const bytes = totalBytes === 0 ? Number.POSITIVE_INFINITY : availableBytes - reserveBytes - this.#writtenMeanwhile
      const nearlyNothingBytes = Math.min(NEARLY_NOTHING_BYTES, totalBytes / 100)
      this.#room = { bytes, reserveBytes, nearlyNothingBytes, atMs: clock.monotonic() }
      if (this.#failure === before || this.#failure?.hung === true) this.#failure = undefined // another one came meanwhile, and counts
      this.#noteRoom()
    } catch (error) {
      this.#fail(storageTroubleOf(error) ?? { kind: 'failing', why: 'the directory of the store is gone: make it again' }, error)
    }
  }

  /** Whether there is room again, or none any more. */
  #noteRoom(): void {
    const { bytes = 0, nearlyNothingBytes = 0 } = this.#room ?? {}
    if (this.#full !== undefined && this.#freeBytes >= 2 * nearlyNothingBytes) this.#full = undefined
    if (this.#full === undefined && bytes < nearlyNothingBytes) this.#callFull()
    this.#tell()
  }

  /** There is no room for so much. Where others fit, that concerns nobody else, and is told once in a while. */
  #refuse(bytes: number): void {
    if (this.#freeBytes < (this.#room?.nearlyNothingBytes ?? 0)) {
      this.#callFull()
      this.#tell()
      return
    }
    if (this.#full !== undefined || this.#misfits.get(bytes) !== undefined) return
    this.#misfits.set(bytes, true, this.#budgets.soonMs)
    this.#deps.log.warn(`a blob of ${sizeText(bytes)} does not fit and is streamed without being stored: ${this.#roomText()}`)
  }

  #callFull(): void {
    this.#full = { kind: 'full', why: `the disk of the store is full: ${this.#roomText()}` }
  }

  #roomText(): string {
    const { bytes = 0, reserveBytes = 0 } = this.#room ?? {}
    const promised = this.#reservedBytes > 0 ? `; running downloads will take ${sizeText(this.#reservedBytes)}` : ''
    return `${sizeText(Math.max(0, bytes + reserveBytes))} are free, and ${sizeText(reserveBytes)} are kept in reserve (minFree)${promised}`
  }

  /** @param hung it did not fail, but says nothing: what it says in the end counts */
  #fail(trouble: StorageTrouble, error?: unknown, hung = false): void {
    const { restMs, soonMs } = this.#budgets
    const now = this.#deps.clock.monotonic()
    const again = this.#failure === undefined && now - this.#recoveredMs < soonMs
    if (this.#failure === undefined) this.#restMs = again ? Math.min(this.#restMs * 2, 12 * restMs) : restMs
    this.#failure = { trouble, restUntilMs: now + this.#restMs, hung }
    this.#tell(error)
  }

  /** One line when trouble begins, or becomes another, and one when it ends. */
  #tell(error?: unknown): void {
    const { clock, log, onRecovered } = this.#deps
    const { trouble } = this
    this.#watch()
    if (trouble?.kind === this.#told) return
    this.#told = trouble?.kind
    if (trouble !== undefined) {
      log.error('nothing new can be stored at present; what is stored is served, the rest streamed', { ...trouble, error })
      return
    }
    this.#recoveredMs = clock.monotonic()
    log.info('the store takes new content again')
    onRecovered?.()
  }

  /** Begins to look by itself, where there is trouble. */
  #watch(): void {
    if (!this.#isStarted || this.trouble === undefined || this.#watching !== undefined) return
    this.#watching = this.#untilWell().finally(() => {
      this.#watching = undefined
      this.#watch()
    })
  }

  async #untilWell(): Promise<void> {
    const { clock } = this.#deps
    while (this.trouble !== undefined && (await clock.sleep(this.#budgets.troubleMs, this.#stopping.signal))) await this.look()
  }
}
