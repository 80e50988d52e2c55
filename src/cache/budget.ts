/**
 * The byte budget: room for what is to be stored is given only as long as the store stays within it. Where it would not, images that were not pulled for
 * longest go first; what cannot be made room for is not stored. Without a limit everything is let through.
 *
 * Counted is what was stored when it was looked at last, and since, and all that running downloads were promised.
 */
import { OVER } from '../async/over.ts'
import type { Config } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import { sizeText } from '../store/size-text.ts'
import type { Reservation, Space, StorageTrouble } from '../store/space.ts'

/** How many bytes came free, and are stored now. */
export type Evicted = { readonly freedBytes: number; readonly storedBytes: number }

export type BudgetDeps = {
  /** Of the disk. */
  readonly space: Space
  /** Read each time; after a change, `reconfigure` is called. */
  readonly settings: Pick<Config, 'budget'>
  /** Removes what may go until no more than so many bytes are stored. */
  readonly evict: (maxBytes: number) => Promise<Evicted>
  /** What is stored now, with what earlier downloads left in the spool. */
  readonly count: () => Promise<number>
  readonly clock: Pick<Clock, 'monotonic' | 'sleep'>
  readonly log: Log
}

/** What is no larger does not wait for others to go, since these may wait for it: manifests, above all. */
const SMALL_BYTES = 256 * 1024
/** By so much the small ones may go beyond the budget until others are gone. */
const SLACK_BYTES = 1024 * 1024
/** Where nothing more could be removed, this long passes before it is tried again. */
const FUTILE_MS = 10_000
/** That there is no room is said once in this time. */
const TOLD_MS = 60_000
/** Somebody may remove files, or put some there. */
const RECOUNT_MS = 3600_000

const UNLIMITED = { maxBytes: Number.POSITIVE_INFINITY, highBytes: Number.POSITIVE_INFINITY, lowBytes: Number.POSITIVE_INFINITY }

export class Budget implements Space {
  readonly #deps: BudgetDeps
  #storedBytes = 0
  /** Of running downloads, on the disk or not yet. */
  #promisedBytes = 0
  /** What was stored while it is being counted: it may not have been seen. */
  #storedMeanwhile = 0
  #counting: Promise<void> | undefined
  #evicting: Promise<boolean> | undefined
  #futileUntilMs = Number.NEGATIVE_INFINITY
  #toldMs = Number.NEGATIVE_INFINITY
  readonly #stopping = new AbortController()
  #loop = Promise.resolve()

  constructor(deps: BudgetDeps) {
    this.#deps = deps
  }

  get trouble(): StorageTrouble | undefined {
    return this.#deps.space.trouble
  }

  /** Only then it is known how much is stored. */
  get isLimited(): boolean {
    return this.#deps.settings.budget.maxBytes !== undefined
  }

  get usedBytes(): number {
    return this.#storedBytes + this.#promisedBytes
  }

  shortage(bytes: number): string | undefined {
    const { maxBytes } = this.#limits
    if (this.usedBytes + bytes <= maxBytes) return this.#deps.space.shortage(bytes)
    return `${this.#usedText} (maxSize): remove images or pins, or raise maxSize`
  }

  failed(error: unknown): void {
    this.#deps.space.failed(error)
  }

  /** Counts what is there, now and then. Before the first count whoever wants room waits for it. */
  start(): void {
    this.#loop = this.#countNowAndThen()
  }

  /** After `start`: goes by a limit that has changed. */
  reconfigure(): void {
    void this.#count()
  }

  async stop(): Promise<void> {
    this.#stopping.abort(OVER)
    await this.#loop
    await this.#counting
    await this.#evicting
  }

  async reserve(bytes: number): Promise<Reservation | undefined> {
    if (!(await this.#claim(bytes))) return undefined
    const room = (await this.#deps.space.reserve(bytes)) ?? (await this.#reserveAfterEviction(bytes))
    if (room !== undefined) return new BudgetedReservation(room, bytes, this.#counter())
    this.#promisedBytes -= bytes
    return undefined
  }

  /** The disk is full before the budget is. */
  async #reserveAfterEviction(bytes: number): Promise<Reservation | undefined> {
    const { trouble } = this.#deps.space
    if (!this.isLimited || bytes <= SMALL_BYTES || (trouble !== undefined && trouble.kind !== 'full')) return undefined
    await this.#evictTo(this.#storedBytes - bytes)
    return this.#deps.space.reserve(bytes)
  }

  /** Has so many bytes promised, if there is room for them, or can be made. */
  async #claim(bytes: number): Promise<boolean> {
    const { maxBytes } = this.#limits
    if (bytes <= SMALL_BYTES) {
      this.#evictAboveHigh()
      return this.#take(bytes, maxBytes + SLACK_BYTES)
    }
    await this.#counting
    while (!this.#take(bytes, maxBytes)) {
      // what running downloads were promised stays, whoever goes
      if (this.#promisedBytes + bytes > maxBytes || !(await this.#makeRoom(bytes))) return this.#refuse(bytes)
    }
    return true
  }

  get #limits(): { readonly maxBytes: number; readonly highBytes: number; readonly lowBytes: number } {
    const { maxBytes, ...watermarks } = this.#deps.settings.budget
    return maxBytes === undefined ? UNLIMITED : { maxBytes, ...watermarks }
  }

  /** Looks and takes in one turn: others want it, too. */
  #take(bytes: number, maxBytes: number): boolean {
    if (this.usedBytes + bytes > maxBytes) return false
    this.#promisedBytes += bytes
    return true
  }

  /**
   * Has images go for so many bytes, or waits for those that go for others.
   * @returns whether something went: then it is worth looking again
   */
  #makeRoom(bytes: number): Promise<boolean> {
    return this.#evictTo(this.#limits.maxBytes - this.#promisedBytes - bytes)
  }

  /** Down to the low watermark, or further where somebody needs the room. */
  #evictTo(neededBytes: number): Promise<boolean> {
    if (this.#evicting === undefined && this.#deps.clock.monotonic() < this.#futileUntilMs) return Promise.resolve(false)
    this.#evicting ??= this.#evict(Math.min(this.#limits.lowBytes, neededBytes)).finally(() => {
      this.#evicting = undefined
    })
    return this.#evicting
  }

  async #evict(maxBytes: number): Promise<boolean> {
    const { evict, clock, log } = this.#deps
    let freedBytes = 0
    try {
      const eviction = evict(Math.max(0, maxBytes))
      await this.#learn(eviction.then(({ storedBytes }) => storedBytes))
      freedBytes = (await eviction).freedBytes
    } catch (error) {
      log.error('could not make room in the store', { error })
    }
    if (freedBytes === 0) this.#futileUntilMs = clock.monotonic() + FUTILE_MS
    return freedBytes > 0
  }

  #evictAboveHigh(): void {
    const { highBytes, lowBytes } = this.#limits
    if (this.usedBytes > highBytes && this.#evicting === undefined) void this.#evictTo(lowBytes)
  }

  async #countNowAndThen(): Promise<void> {
    do await this.#count()
    while (await this.#deps.clock.sleep(RECOUNT_MS, this.#stopping.signal))
  }

  async #count(): Promise<void> {
    if (!this.isLimited) return
    const { count, log } = this.#deps
    this.#counting = this.#learn(count()).catch((error: unknown) => log.error('could not count what is stored', { error }))
    await this.#counting
    this.#evictAboveHigh()
  }

  async #learn(counted: Promise<number>): Promise<void> {
    this.#storedMeanwhile = 0
    const bytes = await counted
    this.#storedBytes = bytes + this.#storedMeanwhile
  }

  /** @returns false */
  #refuse(bytes: number): false {
    const { clock, log } = this.#deps
    if (clock.monotonic() - this.#toldMs < TOLD_MS) return false
    this.#toldMs = clock.monotonic()
    log.warn(`a blob of ${sizeText(bytes)} is streamed without being stored: ${this.#usedText}, and nothing more may go`)
    return false
  }

  get #usedText(): string {
    return `${sizeText(this.usedBytes)} of the ${sizeText(this.#limits.maxBytes)} that the store may use are taken`
  }

  #counter(): Counter {
    return {
      grow: (bytes) => this.#claim(bytes),
      release: (promised, written) => {
        this.#promisedBytes -= promised
        this.#storedBytes += written
        this.#storedMeanwhile += written
        if (written > 0) this.#evictAboveHigh()
      },
    }
  }
}

type Counter = {
  grow(bytes: number): Promise<boolean>
  /** @param written of what was promised: it is taken for stored, until it is counted again */
  release(promised: number, written: number): void
}

/** Room on the disk that the budget knows of. */
class BudgetedReservation implements Reservation {
  #written = 0

  constructor(
    private readonly room: Reservation,
    private promised: number,
    private readonly counter: Counter,
  ) {}

  written(bytes: number): void {
    this.#written += bytes
    this.room.written(bytes)
  }

  async grow(bytes: number): Promise<boolean> {
    if (!(await this.counter.grow(bytes))) return false
    if (await this.room.grow(bytes)) {
      this.promised += bytes
      return true
    }
    this.counter.release(bytes, 0)
    return false
  }

  /** Once: a second call gives nothing back. */
  release(): void {
    this.room.release()
    this.counter.release(this.promised, this.#written)
    this.promised = 0
    this.#written = 0
  }
}
