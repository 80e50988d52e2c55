/**
 * Where the bytes of one fill lie: in memory if they are few, else in a spool file with room reserved for it. What cannot be stored, because there is
 * no room or a write failed, goes through a window of bounded size instead, from that byte on, so that its readers get it all the same.
 */
import type { Clock } from '../observe/clock.ts'
import type { Digest } from '../oci/digest.ts'
import { isSystemError, type Reservation, type Space } from '../store/space.ts'
import { MemorySpool, type Spool, type SpoolDirectory, type SpoolNote } from '../store/spool.ts'
import type { Available, BlobStore, ReadBuffers } from '../store/store.ts'
import type { Budgets } from './budgets.ts'
import { HELD_BACK_BYTES } from './progress.ts'
import { Window, type WindowReader } from './window.ts'

/** Room for a blob of which nobody knows yet how long it is. */
const FIRST_BYTES = 1024 * 1024
/** Where its source does not know either, room is asked for in steps of this. */
const STEP_BYTES = 16 * 1024 * 1024
const WINDOW_BYTES = 4 * 1024 * 1024
const SMALLEST_WINDOW_BYTES = 512 * 1024
/** From here on windows are small. */
const ALL_WINDOWS_BYTES = 32 * 1024 * 1024

/** What all windows together may hold. */
export class WindowMemory {
  #taken = 0

  take(): number {
    const bytes = this.#taken + WINDOW_BYTES <= ALL_WINDOWS_BYTES ? WINDOW_BYTES : SMALLEST_WINDOW_BYTES
    this.#taken += bytes
    return bytes
  }

  give(bytes: number): void {
    this.#taken -= bytes
  }
}

export type FillSpoolDeps = {
  readonly spools: SpoolDirectory
  readonly space: Space
  readonly windows: WindowMemory
  readonly clock: Clock
  readonly budgets: Pick<Budgets, 'laggardMs'>
}

/** Somebody's place in the bytes, at their own pace. */
export type SpoolReader = {
  /** May be called more than once, one after the other. */
  read(start: number, end: number, buffers: ReadBuffers, available: Available): AsyncIterable<Buffer>
  close(): Promise<void>
}

export class FillSpool {
  readonly #digest: Digest
  readonly #about: () => SpoolNote
  readonly #deps: FillSpoolDeps
  readonly #readers = new Set<WindowReader>()
  #base: Spool | undefined
  #room: Reservation | undefined
  /** Of the blob, for which there is or was room. */
  #roomBytes = 0
  /** Of the blob, that lie in the base; behind them the window begins. */
  #baseBytes = Number.POSITIVE_INFINITY
  #window: { readonly window: Window; readonly capacityBytes: number } | undefined
  #leftNote: SpoolNote | undefined
  #isOpen = true

  private constructor(digest: Digest, about: () => SpoolNote, deps: FillSpoolDeps) {
    this.#digest = digest
    this.#about = about
    this.#deps = deps
  }

  /**
   * @param about what a note beside the file is to say of it
   * @param before what may still hold the file of that digest
   */
  static async open(digest: Digest, about: () => SpoolNote, deps: FillSpoolDeps, before: Promise<void> | undefined): Promise<FillSpool> {
    const spool = new FillSpool(digest, about, deps)
    await spool.#open(before)
    return spool
  }

  /** All of it, where that is in memory. */
  get whole(): Buffer | undefined {
    return this.#base?.whole
  }

  /** How many bytes an earlier fill left; nobody has hashed them since. */
  get leftBytes(): number {
    return this.#base?.leftBytes ?? 0
  }

  /** What the earlier fill said of them. */
  get leftNote(): SpoolNote | undefined {
    return this.#leftNote
  }

  /** Whether it can become a blob of the store. */
  get isStored(): boolean {
    return this.#window === undefined
  }

  /** Whether somebody who comes now can still read it from its first byte. */
  get isWhole(): boolean {
    return this.#window === undefined || this.#window.window.isWhole
  }

  /** The size is known by now. @param writtenBytes of it */
  async expect(sizeBytes: number, writtenBytes: number): Promise<void> {
    if (this.isStored && sizeBytes > this.#roomBytes && !(await this.#grow(sizeBytes))) this.#goOnInWindow(writtenBytes)
  }

  /** It may take long, or for ever, until the rest comes: others need the room more. It is asked for again step by step. */
  async giveRoomBack(writtenBytes: number): Promise<void> {
    if (this.#room === undefined || this.#roomBytes <= writtenBytes + STEP_BYTES) return
    this.#room.release()
    this.#roomBytes = writtenBytes
    this.#room = await this.#deps.space.reserve(0)
  }

  /** One call at a time, each where the last one ended. They can be read as soon as it resolves. */
  async write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    if (this.#window === undefined && !(await this.#store(chunks, position))) this.#goOnInWindow(position)
    this.#window?.window.add(chunks)
  }

  /** Resolves when more may be written: what cannot be stored waits for its readers. */
  async room(): Promise<void> {
    await this.#window?.window.room()
  }

  /** @param onCut called when it was too slow for what cannot be stored */
  reader(onCut: (error: Error) => void): SpoolReader {
    const place: WindowReader = { offset: 0, onCut }
    this.#readers.add(place)
    this.#base?.hold()
    return {
      read: (start, end, buffers, available) => this.#read(place, start, end, buffers, available),
      close: async () => {
        this.#readers.delete(place)
        this.#window?.window.moved()
        await this.#letGo()
      },
    }
  }

  /** The bytes from the first one up to `end`, which are all in the base. */
  readBase(end: number, buffers: ReadBuffers): AsyncIterable<Buffer> {
    if (this.#base === undefined) throw new Error('there is nothing to be read')
    return this.#base.read(0, end, buffers)
  }

  /** Forgets all bytes and begins again. Nobody may be reading. */
  async startOver(): Promise<void> {
    await this.drop()
    await this.release()
    this.#base = undefined
    this.#window = undefined
    this.#baseBytes = Number.POSITIVE_INFINITY
    this.#isOpen = true
    await this.#open(undefined)
  }

  /** Makes it a blob of the store, durably. Its bytes are verified. */
  async commit(store: BlobStore): Promise<void> {
    await this.#base?.commit(store, this.#digest)
  }

  /** Leaves what was written for a later fill. Where something could not be stored, there will be no room for the rest either. */
  async keep(): Promise<void> {
    if (this.isStored) await this.#base?.keep()
    else await this.drop()
  }

  /** Forgets it; readers may go on. */
  async drop(): Promise<void> {
    await this.#base?.drop()
  }

  /** Whoever opened it calls it once. */
  async release(): Promise<void> {
    this.#room?.release()
    this.#room = undefined
    this.#isOpen = false
    await this.#letGo()
  }

  async #open(before: Promise<void> | undefined): Promise<void> {
    const { spools, space } = this.#deps
    const { sizeBytes } = this.#about()
    if (sizeBytes !== undefined && sizeBytes <= HELD_BACK_BYTES && !spools.hasLeft(this.#digest)) {
      this.#base = new MemorySpool(sizeBytes)
      this.#roomBytes = sizeBytes
      return
    }
    // a manifest's claim takes no room from others: that is asked for when a registry sends so much
    this.#roomBytes = Math.min(sizeBytes ?? FIRST_BYTES, FIRST_BYTES)
    this.#room = await space.reserve(this.#roomBytes)
    if (this.#room === undefined) return this.#goOnInWindow(0)
    await before
    try {
      const file = await spools.open(this.#digest, this.#about)
      this.#base = file
      this.#leftNote = file.leftNote
      if (file.leftBytes > this.#roomBytes && !(await this.#grow(file.leftBytes))) return this.#goOnInWindow(0)
      this.#room.written(file.leftBytes)
    } catch (error) {
      this.#cannotStore(error)
      this.#goOnInWindow(0)
    }
  }

  /** A holder has gone: the window's memory goes with the last one. */
  async #letGo(): Promise<void> {
    if (!this.#isOpen && this.#readers.size === 0 && this.#window !== undefined) this.#deps.windows.give(this.#window.capacityBytes)
    await this.#base?.release()
  }

  /** False if it could not be written where it would be stored. */
  async #store(chunks: readonly Uint8Array[], position: number): Promise<boolean> {
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0)
    if (position + bytes > this.#roomBytes && !(await this.#grow(position + bytes + STEP_BYTES))) return false
    try {
      await this.#base?.write(chunks, position)
      this.#room?.written(bytes)
      return true
    } catch (error) {
      this.#cannotStore(error)
      return false
    }
  }

  async #grow(toBytes: number): Promise<boolean> {
    if (this.#room === undefined) return this.whole !== undefined
    if (!(await this.#room.grow(toBytes - this.#roomBytes))) return false
    this.#roomBytes = toBytes
    return true
  }

  #cannotStore(error: unknown): void {
    if (!isSystemError(error)) throw error
    this.#deps.space.failed(error)
  }

  #goOnInWindow(start: number): void {
    const { windows, clock, budgets } = this.#deps
    const capacityBytes = windows.take()
    this.#baseBytes = start
    this.#room?.release()
    this.#room = undefined
    this.#window = {
      capacityBytes,
      window: new Window({ start, capacityBytes, readers: this.#readers, patienceMs: budgets.laggardMs, clock }),
    }
  }

  async *#read(
    place: WindowReader,
    start: number,
    end: number,
    buffers: ReadBuffers,
    available: Available,
  ): AsyncGenerator<Buffer, void, void> {
    place.offset = start
    if (this.#base !== undefined && start < this.#baseBytes) {
      const inBase: Available = (offset) => {
        const limit = available(offset)
        return typeof limit === 'number' ? Math.min(limit, this.#baseBytes) : limit.then((bytes) => Math.min(bytes, this.#baseBytes))
      }
      for await (const chunk of this.#base.read(start, end, buffers, inBase)) {
        yield chunk
        place.offset += chunk.byteLength
      }
    }
    const window = this.#window?.window
    if (place.offset < end && window !== undefined) yield* window.read(place, end, available)
  }
}
