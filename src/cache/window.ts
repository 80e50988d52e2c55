/**
 * The last few MiB of a download that cannot be stored: what has come and not everybody has read. Whoever fills it waits for slow readers, but
 * not for long; what every reader has passed is let go.
 */
import { Changes } from '../async/changes.ts'
import { OVER } from '../async/over.ts'
import type { Clock } from '../observe/clock.ts'
import type { Available } from '../store/store.ts'

/** Somebody who reads or is about to. */
export type WindowReader = {
  /** What it wants next. */
  offset: number
  /** Set when it was too slow: what it wants is gone. */
  cut?: Error
  /** Told then: it may be stuck with what it has. */
  readonly onCut?: (error: Error) => void
}

export type WindowOptions = {
  /** Where in the blob it begins. */
  readonly start: number
  readonly capacityBytes: number
  /** All readers there are, kept up to date by whoever knows them. */
  readonly readers: ReadonlySet<WindowReader>
  /** How long a reader that is more than the capacity behind holds up the others. */
  readonly patienceMs: number
  readonly clock: Clock
}

type Node = { readonly start: number; readonly chunk: Uint8Array; next: Node | undefined }

export class Window {
  readonly #options: WindowOptions
  readonly #moved = new Changes()
  #first: Node | undefined
  #last: Node | undefined
  #start: number
  #end: number

  constructor(options: WindowOptions) {
    this.#options = options
    this.#start = options.start
    this.#end = options.start
  }

  /** Whether everything that ever came is still there. */
  get isWhole(): boolean {
    return this.#start === this.#options.start
  }

  /** A reader has moved on or left. */
  moved(): void {
    this.#moved.ring()
  }

  /** Takes chunks in, which must not change any more. Whoever has added waits for `room` before it adds more. */
  add(chunks: readonly Uint8Array[]): void {
    for (const chunk of chunks) this.#append(chunk)
  }

  /** Resolves when there is room for more: those who are far behind have caught up, or have had their time. */
  async room(): Promise<void> {
    this.#letGo()
    if (!this.#isFull) return
    await this.#patience()
    for (const reader of this.#options.readers) if (this.#end - reader.offset > this.#options.capacityBytes) this.#cut(reader)
    this.#letGo()
  }

  /** @throws Error if what is wanted is gone */
  async *read(reader: WindowReader, end: number, available: Available): AsyncGenerator<Buffer, void, void> {
    let node: Node | undefined
    while (reader.offset < end) {
      const limit = Math.min(end, await available(reader.offset))
      if (reader.cut !== undefined) throw reader.cut
      node = nodeAt(node, reader.offset) ?? nodeAt(this.#first, reader.offset)
      if (node === undefined) throw new Error(`byte ${reader.offset} is not kept any more`)
      const { chunk, start } = node
      const part = chunk.subarray(reader.offset - start, limit - start)
      yield Buffer.from(part.buffer, part.byteOffset, part.byteLength)
      reader.offset += part.byteLength
      this.moved()
    }
  }

  get #isFull(): boolean {
    return this.#end - this.#start > this.#options.capacityBytes
  }

  #append(chunk: Uint8Array): void {
    const node: Node = { start: this.#end, chunk, next: undefined }
    if (this.#last === undefined) this.#first = node
    else this.#last.next = node
    this.#last = node
    this.#end += chunk.byteLength
  }

  /** Waits for those who are behind, for a bounded time. */
  async #patience(): Promise<void> {
    const { clock, patienceMs } = this.#options
    const over = new AbortController()
    let late = false
    void clock.sleep(patienceMs, over.signal).then((slept) => {
      late = slept
      if (slept) this.#moved.ring()
    })
    while (this.#isFull && !late) {
      await this.#moved.next
      this.#letGo()
    }
    over.abort(OVER)
  }

  /** A reader that is cut holds nothing up: what it wants next lies beyond everything. */
  #cut(reader: WindowReader): void {
    reader.cut = new Error(`a reader at byte ${reader.offset} was too slow: the blob cannot be stored, and byte ${this.#end} is on its way`)
    reader.onCut?.(reader.cut)
  }

  #letGo(): void {
    let needed = this.#end
    for (const { offset, cut } of this.#options.readers) if (cut === undefined && offset < needed) needed = offset
    while (this.#first !== undefined && this.#isFull && this.#first.start + this.#first.chunk.byteLength <= needed) {
      const gone: Node = this.#first
      this.#start += gone.chunk.byteLength
      this.#first = gone.next
      gone.next = undefined // a reader that stands still must not keep all that comes behind it
    }
    if (this.#first === undefined) this.#last = undefined
  }
}

function nodeAt(from: Node | undefined, offset: number): Node | undefined {
  let node = from
  while (node !== undefined && node.start + node.chunk.byteLength <= offset) node = node.next
  return node !== undefined && node.start <= offset ? node : undefined
}
