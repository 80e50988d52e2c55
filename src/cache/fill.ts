/**
 * A fill: one download of one blob, shared by every client that wants it.
 *
 * It goes through its sources in order and writes to the spool as bytes arrive, hashing them on the way. Readers follow at their own pace, up to the
 * held-back tail; their leaving stops nothing. When the digest is verified the tail goes out at once, and the blob is published behind their backs.
 */
import { createHash } from 'node:crypto'
import { addAbortSignal } from 'node:stream'
import { Changes } from '../async/changes.ts'
import { OVER } from '../async/over.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import { type Digest, digestAlgorithm, digestFromHash } from '../oci/digest.ts'
import { MemorySpool, type Spool, type SpoolDirectory } from '../store/spool.ts'
import type { ReadableBlob, ReadBuffers } from '../store/store.ts'
import { UpstreamError, type UpstreamErrorKind } from '../upstream/error.ts'
import type { UpstreamBlob, UpstreamDirectory } from '../upstream/upstream.ts'
import { troubleOf } from './answer.ts'
import type { Budgets } from './budgets.ts'
import { HELD_BACK_BYTES, Progress } from './progress.ts'
import { type HeldBytes, receive } from './receive.ts'
import { type Source, Sources, sourceName } from './sources.ts'

export type FillDeps = {
  readonly upstreams: UpstreamDirectory
  readonly spools: SpoolDirectory
  readonly clock: Clock
  readonly log: Log
  readonly budgets: Budgets
  /** Shared by all fills. */
  readonly held: HeldBytes
  /** Makes verified bytes part of the store; resolves when they are. */
  readonly publish: (digest: Digest, spool: Spool) => Promise<void>
}

export class Fill {
  readonly #deps: FillDeps
  readonly #sources = new Sources()
  readonly #refused = new Map<string, Error>()
  readonly #changes = new Changes()
  readonly #stopping = new AbortController()
  readonly #hash
  readonly #progress = new Progress(() => this.#sizeBytes)
  #spool: Spool | undefined
  #sizeBytes: number | undefined
  #accepted = 0
  #asking = 0
  #began = false
  #answered = false
  #failure: Error | undefined
  /** The last trouble that was logged: it need not be said twice. */
  #noted: Error | undefined

  /** @param sizeBytes what a cached manifest says; undefined where none lists the blob */
  constructor(
    readonly digest: Digest,
    sizeBytes: number | undefined,
    deps: FillDeps,
  ) {
    this.#deps = deps
    this.#sizeBytes = sizeBytes
    this.#hash = createHash(digestAlgorithm(digest))
  }

  /** How many requests wait for its headers or read from it. */
  waiters = 0
  /** Whether it is worth finishing though nobody waits for it. */
  inBackground = false

  /** False while it is queued. */
  get began(): boolean {
    return this.#began
  }

  /** From then on nobody may join it: it only clears its spool file away. */
  get failed(): boolean {
    return this.#failure !== undefined
  }

  /** From then on it has all there is, and only its way into the store is left. */
  get verified(): boolean {
    return this.#progress.verified
  }

  addSource(source: Source): void {
    if (this.#sources.add(source)) this.#changes.ring()
  }

  /**
   * Waits until headers may go out: the size is known and, for a blob no longer than the held-back tail, the digest verified.
   * @param source the one that this waiter brought: its refusal (401, 403, 404) fails the waiter, whatever the others do
   * @throws UpstreamError
   */
  async ready(source: Source): Promise<ReadableBlob> {
    const { clock, budgets } = this.#deps
    const over = new AbortController()
    let late = false
    void clock.sleep(budgets.firstByteMs, over.signal).then((slept) => {
      late = slept
      if (slept) this.#changes.ring()
    })
    this.waiters++
    this.#asking++
    try {
      for (;;) {
        const failure = this.#refused.get(sourceName(source)) ?? this.#failure
        if (failure !== undefined) throw failure
        if (this.#headersMayGo && this.#spool !== undefined) return this.#content(this.#spool)
        if (late)
          throw new UpstreamError('timeout', `${sourceName(source)} did not begin to send ${this.digest} within ${budgets.firstByteMs} ms`)
        await this.#changes.next
      }
    } finally {
      over.abort(OVER)
      this.waiters--
      if (--this.#asking === 0) this.#changes.ring()
    }
  }

  /** Downloads, verifies and publishes. Never rejects: what goes wrong is told to whoever waits, and logged. */
  async run(): Promise<void> {
    this.#began = true
    try {
      this.#stopping.signal.throwIfAborted()
      const spool = this.#isSmall ? new MemorySpool(this.#sizeBytes ?? 0) : await this.#deps.spools.create(this.digest)
      this.#spool = spool
      try {
        await this.#download(spool)
        this.#verify()
        await this.#deps.publish(this.digest, spool)
      } catch (error) {
        this.#fail(error)
        await spool.drop()
      } finally {
        while (this.#asking > 0) await this.#changes.next // who has just been told takes hold of the file first
        await spool.release()
      }
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Ends it, running or queued: whoever waits is told at once. What is verified is published all the same. */
  stop(): void {
    this.#stopping.abort(new UpstreamError('unreachable', 'the server is stopping'))
    this.#fail(this.#stopping.signal.reason)
  }

  /** All of it is held back. */
  get #isSmall(): boolean {
    return this.#sizeBytes !== undefined && this.#sizeBytes <= HELD_BACK_BYTES
  }

  get #headersMayGo(): boolean {
    return this.#progress.verified || (this.#answered && this.#sizeBytes !== undefined && !this.#isSmall)
  }

  async #download(spool: Spool): Promise<void> {
    let refusal: Error | undefined
    let trouble: Error | undefined
    for (let source = this.#sources.next(); source !== undefined; source = this.#sources.next()) {
      try {
        const blob = await this.#open(source)
        if (blob === undefined) continue
        await this.#receive(blob, spool, source)
        return
      } catch (error) {
        this.#stopping.signal.throwIfAborted()
        const kind = troubleOf(error)
        if (kind === undefined) throw error
        this.#noteTrouble(source, kind, error as Error)
        if (isRefusal(kind)) refusal = error as Error
        else trouble = error as Error
        if (kind !== 'corrupt' && this.#hasEveryByte) return
      }
    }
    throw trouble ?? refusal ?? new UpstreamError('unreachable', `no source is left for ${this.digest}`)
  }

  /** A connection may break after the last byte, before it says that this was the last one. */
  get #hasEveryByte(): boolean {
    return this.#accepted > 0 && this.#accepted === this.#sizeBytes
  }

  /** Asks a source for what is missing; undefined if it was slow to answer and another one waits. */
  async #open(source: Source): Promise<UpstreamBlob | undefined> {
    const giveUp = new AbortController()
    const signal = AbortSignal.any([giveUp.signal, this.#stopping.signal])
    const opening = this.#deps.upstreams.of(source.registry).openBlob(source.repository, this.digest, this.#progress.written, signal)
    const patience = new AbortController()
    const first = await Promise.race([opening, this.#slowAndReplaceable(patience.signal)]).finally(() => patience.abort(OVER))
    if (first !== 'replace') return first
    giveUp.abort()
    this.#sources.putBack(source)
    opening.then(
      (late) => late.body.destroy(),
      () => {}, // it was given up: its error is the one that giving up made
    )
    return undefined
  }

  /** Resolves when the source being asked has been slow and a fresh one waits; never where none comes. */
  async #slowAndReplaceable(signal: AbortSignal): Promise<'replace'> {
    const slow = await this.#deps.clock.sleep(this.#deps.budgets.slowSourceMs, signal)
    if (!slow) return new Promise(() => {}) // it answered: nobody waits for this any more
    while (!this.#sources.hasFresh) await this.#changes.next
    return 'replace'
  }

  async #receive(blob: UpstreamBlob, spool: Spool, source: Source): Promise<void> {
    try {
      this.#learnSize(blob, source)
      let skip = this.#progress.written - blob.start
      if (skip < 0) throw this.#corrupt(source, `it answered from byte ${blob.start} where ${this.#progress.written} was asked for`)
      this.#answered = true
      this.#changes.ring()
      const accept = (chunk: Buffer) => {
        const known = Math.min(skip, chunk.byteLength)
        skip -= known
        return this.#accept(chunk.subarray(known), source)
      }
      this.#stopping.signal.throwIfAborted()
      addAbortSignal(this.#stopping.signal, blob.body)
      await receive(blob.body, accept, (chunks) => this.#write(spool, chunks), this.#deps.held)
    } finally {
      blob.body.destroy()
    }
    this.#sizeBytes ??= this.#accepted
    if (this.#accepted < this.#sizeBytes) {
      throw new UpstreamError(
        'unreachable',
        `${sourceName(source)} ended ${this.digest} after ${this.#accepted} of ${this.#sizeBytes} bytes`,
      )
    }
  }

  #learnSize(blob: UpstreamBlob, source: Source): void {
    if (blob.sizeBytes === undefined) return
    this.#sizeBytes ??= blob.sizeBytes
    if (this.#sizeBytes !== blob.sizeBytes) throw this.#corrupt(source, `it has ${blob.sizeBytes} bytes there, expected ${this.#sizeBytes}`)
  }

  #accept(chunk: Buffer, source: Source): Buffer {
    if (this.#sizeBytes !== undefined && this.#accepted + chunk.byteLength > this.#sizeBytes) {
      throw this.#corrupt(source, `more than its ${this.#sizeBytes} bytes came`)
    }
    this.#accepted += chunk.byteLength
    this.#hash.update(chunk)
    return chunk
  }

  async #write(spool: Spool, chunks: readonly Buffer[]): Promise<void> {
    await spool.write(chunks, this.#progress.written)
    this.#progress.advance(chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0))
  }

  #verify(): void {
    const found = digestFromHash(digestAlgorithm(this.digest), this.#hash.digest('hex'))
    if (found !== this.digest)
      throw new UpstreamError('corrupt', `the bytes received for ${this.digest} hash to ${found}; they were dropped`)
    this.#progress.markVerified()
    this.#changes.ring()
  }

  #noteTrouble(source: Source, kind: UpstreamErrorKind, error: Error): void {
    this.#noted = error
    if (isRefusal(kind)) this.#refused.set(sourceName(source), error)
    const level = isRefusal(kind) ? 'info' : 'warn' // to be told no is no trouble
    this.#deps.log[level]('source failed', {
      source: sourceName(source),
      digest: this.digest,
      kind,
      written: this.#progress.written,
      error,
    })
    this.#changes.ring()
  }

  #fail(error: unknown): void {
    const failure = asError(this.#stopping.signal.aborted ? this.#stopping.signal.reason : error)
    if (!this.#progress.verified) {
      this.#failure = failure
      this.#progress.fail(failure)
      this.#changes.ring()
    }
    const level = failure === this.#noted ? 'debug' : 'error'
    if (!this.#stopping.signal.aborted)
      this.#deps.log[level]('fill failed', { digest: this.digest, written: this.#progress.written, error: failure })
  }

  #content(spool: Spool): ReadableBlob {
    spool.hold()
    this.waiters++
    return {
      sizeBytes: this.#sizeBytes ?? 0,
      ...(spool.whole && { whole: spool.whole }),
      read: (start: number, end: number, buffers: ReadBuffers) =>
        spool.read(start, end, buffers, (offset) => this.#progress.beyond(offset)),
      close: () => {
        this.waiters--
        spool.release().catch((error: unknown) => this.#deps.log.error('could not close a spool file', { digest: this.digest, error }))
      },
    }
  }

  #corrupt(source: Source, what: string): UpstreamError {
    return new UpstreamError('corrupt', `${sourceName(source)} sent a wrong ${this.digest}: ${what}`)
  }
}

/** Fails those who brought this source and no other; any other trouble may concern everybody. */
function isRefusal(kind: UpstreamErrorKind | undefined): boolean {
  return kind === 'notFound' || kind === 'denied'
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
